"""A rebuilt read model equals the old one, also with deliveries during the rebuild."""

import threading
from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from analytics import queries, services
from eventbus import GiveUp, publish, registry
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver, deliver_batch
from eventbus.consuming.receipts import Receipt
from eventbus.errors import CannotRebuild
from eventbus.events import Envelope
from eventbus.models import Action, DeadLetter, Event, Inbox, Retry, Subscription
from eventbus.operations import rebuild
from eventbus.operations.dead_letter_filter import DeadLetterFilter
from eventbus.operations.dead_letters import discard
from eventbus.registry import Consumer
from eventbus.testing import Bus, alone
from tests.analytics.figures import figures
from tests.analytics.sample_events import CUP, MONDAY, fortnight, paid, placed

CONTEXT = "analytics"


@pytest.fixture
def filled(calm) -> Iterator[Bus]:
    """A bus on which analytics has handled the events of a fortnight."""
    with alone(CONTEXT):
        Subscription.objects.exclude(consumer__startswith="analytics.").delete()
        publish_all(*fortnight())
        calm.settle()
        yield calm


def publish_all(*events: Any) -> None:
    with transaction.atomic():
        for event in events:
            publish(event)


def sale(order: int) -> list[Any]:
    order_placed = placed(order, CUP)
    return [order_placed, paid(order_placed, 60)]


def test_a_rebuilt_read_model_equals_the_old_one(filled):
    before = figures()
    done = rebuild.rebuild(CONTEXT, "operator:1")
    assert figures() == before
    assert done.events == Event.objects.count()
    assert done.failed == 0


def test_deliveries_of_a_rebuild_are_marked_as_replayed(filled, monkeypatch):
    marks = []

    def record(receipt: Receipt, consumer: Consumer, envelopes: list[Envelope]) -> None:
        marks.extend(envelope.replayed for envelope in envelopes)
        deliver_batch(receipt, consumer, envelopes)

    monkeypatch.setattr(rebuild, "deliver_batch", record)
    rebuild.rebuild(CONTEXT, "operator:1")
    assert len(marks) == Event.objects.count()
    assert set(marks) == {True}


def test_a_rebuild_corrects_wrong_rows(filled):
    before = figures()
    extra = services.SignedUp(customer_id=UUID(int=77), country="ID", signed_up_at=MONDAY)
    services.record_sign_ups([extra])
    assert figures() != before
    rebuild.rebuild(CONTEXT, "operator:1")
    assert figures() == before


def test_events_that_arrive_meanwhile_are_counted_once(filled):
    """Live deliveries between any two batches of the refill, of old events and of new ones."""
    numbers = iter(range(100, 200))

    def meanwhile(n: int) -> None:
        publish_all(*sale(next(numbers)))
        filled.settle()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuild, "BATCH", 1)
        rebuild.rebuild(CONTEXT, "operator:1", progress=meanwhile)
    after = figures()
    arrived = next(numbers) - 100
    assert arrived > 10
    assert queries.funnel().paid == 2 + arrived

    rebuild.rebuild(CONTEXT, "operator:1")
    assert figures() == after


def test_events_in_the_outbox_are_counted_once(filled):
    publish_all(*sale(100))
    rebuild.rebuild(CONTEXT, "operator:1")
    paid_by_then = queries.funnel().paid
    after = figures()
    filled.settle()
    assert figures() == after
    assert paid_by_then == 3


def test_messages_from_before_the_rebuild_change_nothing(filled):
    old = [to_cloudevent(event.envelope()) for event in Event.objects.all()]
    rebuild.rebuild(CONTEXT, "operator:1")
    before = figures()
    for event in old:
        for consumer in registry.consumers_of(event["type"]):
            deliver(0, consumer.name, [event])
    assert figures() == before


def test_events_from_before_the_subscription_are_counted(filled):
    before = figures()
    # given: a context that was installed after all events
    services.empty()
    Inbox.objects.all().delete()
    Subscription.objects.update(since=Event.objects.latest("position").recorded_at)
    rebuild.rebuild(CONTEXT, "operator:1")
    assert figures() == before


def test_the_previous_inbox_generation_is_deleted(filled):
    handled = Inbox.objects.count()
    rebuild.rebuild(CONTEXT, "operator:1")
    assert Inbox.objects.count() == Inbox.objects.filter(generation=1).count() == handled


def test_handled_dead_letters_are_deleted_and_discarded_ones_not_delivered(filled, monkeypatch):
    def fail(*args: Any, **more: Any) -> None:
        raise GiveUp(reason="a mistake")

    with monkeypatch.context() as patch:
        patch.setattr(services, "_upsert", fail)
        publish_all(placed(300, CUP), placed(301, CUP))
        filled.settle(allow_failures=True)
    one, _ = DeadLetter.objects.order_by("pk")
    discard(DeadLetterFilter(ids=(one.pk,)), "a test order", "operator:1")
    before = queries.funnel().placed

    rebuild.rebuild(CONTEXT, "operator:1")
    assert not DeadLetter.objects.exists()
    assert queries.funnel().placed == before + 1


def test_events_that_fail_in_a_rebuild_are_retried(filled, monkeypatch):
    before = figures()

    def fail(*args: Any, **more: Any) -> None:
        raise ValueError("mistake")

    with monkeypatch.context() as patch:
        patch.setattr(services, "record_sign_ups", fail)
        done = rebuild.rebuild(CONTEXT, "operator:1")
    assert done.failed == Retry.objects.count() == 2
    filled.later(minutes=1)
    assert figures() == before


@pytest.mark.parametrize(
    ("context", "reason"),
    [("payments", "not replayable"), ("nowhere", "it has no consumers")],
)
def test_a_context_without_replayable_consumers_is_refused(db, context, reason):
    with pytest.raises(CannotRebuild, match=reason):
        rebuild.rebuild(context, "operator:1")
    assert not Action.objects.exists()


def test_a_rebuild_is_recorded(filled):
    rebuild.rebuild(CONTEXT, "operator:1")
    action = Action.objects.get()
    assert (action.operation, action.selection) == ("rebuild", {"context": CONTEXT})
    assert action.result["events"] == sum(action.preview.values()) == Event.objects.count()


class TestTheCommand:
    def test_it_rebuilds_and_prints_the_rate(self, filled):
        before, out = figures(), StringIO()
        call_command("rebuild", CONTEXT, "--yes", stdout=out)
        assert "events/s" in out.getvalue()
        assert figures() == before

    def test_a_dry_run_counts_and_changes_nothing(self, filled):
        out = StringIO()
        call_command("rebuild", CONTEXT, "--dry-run", stdout=out)
        assert "for analytics.count_sale" in out.getvalue()
        assert not Subscription.objects.exclude(generation=0).exists()

    def test_a_refusal_is_a_sentence(self, db):
        with pytest.raises(CommandError, match="cannot be rebuilt"):
            call_command("rebuild", "orders")


@pytest.mark.django_db(transaction=True)
def test_deliveries_that_race_with_a_rebuild_are_counted_once():
    """Threads deliver all along, each event twice, while the context is emptied and filled."""
    if connection.vendor != "postgresql":
        pytest.skip("a race takes two writers, and SQLite has one")
    with alone(CONTEXT):
        bus = Bus()
        publish_all(*fortnight(), *(fact for order in range(100, 160) for fact in sale(order)))
        wires = [to_cloudevent(event.envelope()) for event in Event.objects.all()]
        going = threading.Event()

        def live() -> None:
            try:
                for wire in [*wires, *wires]:
                    for consumer in registry.consumers_of(wire["type"]):
                        deliver(0, consumer.name, [wire])
                    going.set()
            finally:
                connection.close()

        threads = [threading.Thread(target=live) for _ in range(3)]
        for thread in threads:
            thread.start()
        going.wait(10)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rebuild, "BATCH", 7)
            rebuild.rebuild(CONTEXT, "operator:1")
        for thread in threads:
            thread.join()
        bus.settle()
        raced = figures()
        assert queries.funnel().paid == 2 + 60
        rebuild.rebuild(CONTEXT, "operator:1")
        assert figures() == raced
