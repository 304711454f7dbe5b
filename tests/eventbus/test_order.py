"""Ordered consumers handle each stream in the order of the log, beside faults and other workers."""

import datetime as dt
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from itertools import accumulate

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.urls import reverse

from eventbus import Envelope, publish, registry
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming import streams
from eventbus.consuming.delivery import deliver
from eventbus.errors import BadConsumer, NeedsReason
from eventbus.models import (
    Action,
    DeadLetter,
    Dispatch,
    Duplicates,
    Event,
    Inbox,
    Outbox,
    Parked,
    Retry,
    Subscription,
)
from eventbus.operations import (
    causation,
    completeness,
    dead_letters,
    freshness,
    pauses,
    rebuild,
    retention,
    subscriptions,
    undelivered,
    under_way,
)
from eventbus.operations import parked as parked_events
from eventbus.operations.dead_letter_filter import DeadLetterFilter
from eventbus.operations.undelivered import Undelivered
from eventbus.relay.relay import Relay
from eventbus.testing import InMemoryTransport, alone, listening
from infra import clock
from orders.events import ProductRetired
from orders.models import Product
from tests.eventbus.consumers import make_consumer

ME = "operator:1"
NAME = "orders.follow"
STREAMS, LENGTH = 40, 8
POISON = ("s07", 4)


class Follower:
    """A consumer that appends each version to the row of its stream, and may fail."""

    def __init__(self) -> None:
        self.poison: set[tuple[str, int]] = set()

    def consumer(self, order: str, **options: object):
        def follow(sku: str, envelope: Envelope) -> None:
            version = envelope.aggregate_version
            Product.objects.filter(pk=sku).update(
                description=Concat("description", Value(f"{version} "))
            )
            if (sku, version) in self.poison:
                raise ValueError("poison")

        return make_consumer(follow, order=order, **options)

    def applied(self, sku: str) -> list[int]:
        return [int(word) for word in Product.objects.get(pk=sku).description.split()]


@pytest.fixture
def follower() -> Follower:
    return Follower()


def names(streams: int) -> list[str]:
    return [f"s{number:02}" for number in range(streams)]


@pytest.fixture
def strict(follower) -> Iterator[None]:
    with alone("nobody"), listening(follower.consumer("strict")):
        yield


@pytest.fixture
def latest(follower) -> Iterator[None]:
    with alone("nobody"), listening(follower.consumer("latest")):
        yield


def tell(streams: int, length: int) -> None:
    """Publish the events of all streams, interleaved."""
    Product.objects.bulk_create(
        [Product(sku=sku, unit_price=0, currency="EUR") for sku in names(streams)],
        ignore_conflicts=True,
    )
    for version in range(1, length + 1):
        with transaction.atomic():
            for sku in names(streams):
                publish(ProductRetired(sku=sku), version=version)


def run(relay: Relay, transport: InMemoryTransport, shuffled: random.Random, threads: int) -> None:
    """Deliver until nothing is left, by several workers, each message at a random time."""
    while True:
        relay.run_once()
        messages, transport.messages[:] = list(transport.messages), []
        if not messages:
            return
        shuffled.shuffle(messages)

        def work(number: int, messages=messages) -> None:
            try:
                for message in messages[number::threads]:
                    deliver(message.dispatch, message.consumer, message.events, message.suspect)
            finally:
                if threads > 1:
                    connections.close_all()

        if threads == 1:
            work(0)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(work, range(threads)))


def statuses() -> dict[str, int]:
    found = completeness.measure().consumers[NAME]
    return {state: count for state, count in found.items() if count and state != "owed"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(5))
def test_strict_order_holds_for_shuffled_and_doubled_messages_beside_poison(
    strict, follower, settings, seed
):
    """40 streams of 8 events, single messages, a tenth doubled, 4 workers, one poisoned stream."""
    settings.EVENTBUS = {**settings.EVENTBUS, "BATCH_SIZE": 1, "MAX_ATTEMPTS": 1}
    threads = 4 if connection.vendor == "postgresql" else 1
    shuffled, transport = random.Random(seed), InMemoryTransport()
    relay = Relay(transport)
    follower.poison = {POISON}
    tell(STREAMS, LENGTH)
    while relay.run_once():
        continue
    assert len(transport.messages) == STREAMS * LENGTH
    transport.messages += shuffled.sample(transport.messages, STREAMS * LENGTH // 10)
    run(relay, transport, shuffled, threads)

    for sku in names(STREAMS):
        last = POISON[1] - 1 if sku == POISON[0] else LENGTH
        assert follower.applied(sku) == list(range(1, last + 1))
    assert statuses() == {"handled": STREAMS * LENGTH - 5, "dead": 1, "parked": 4}
    assert not Dispatch.objects.exists()

    follower.poison = set()
    dead_letters.retry(DeadLetterFilter(consumer=NAME), ME)
    run(relay, transport, shuffled, threads)
    assert follower.applied(POISON[0]) == list(range(1, LENGTH + 1))
    assert statuses() == {"handled": STREAMS * LENGTH}
    assert not Parked.objects.exists()
    assert not Retry.objects.exists()


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


def deliver_versions(*versions: int, suspect: bool = False) -> None:
    """Deliver one message with these events of the first stream."""
    events = {event.aggregate_version: event for event in Event.objects.all()}
    dispatch = Dispatch.objects.create(
        consumer=NAME, event_ids=[str(events[version].pk) for version in versions]
    )
    message = [to_cloudevent(events[version].envelope()) for version in versions]
    deliver(dispatch.pk, NAME, message, suspect)
    assert not Dispatch.objects.filter(pk=dispatch.pk).exists()


def go_on(transport: InMemoryTransport) -> None:
    run(Relay(transport), transport, random.Random(0), 1)


def parked() -> list[int]:
    waiting = Parked.objects.filter(dispatched_at=None).order_by("position")
    versions = dict(Event.objects.values_list("pk", "aggregate_version"))
    return [versions[id] for id in waiting.values_list("event_id", flat=True)]


@pytest.fixture
def told(db, strict) -> None:
    """One stream of 5 events that no relay has claimed."""
    tell(1, 5)
    Outbox.objects.all().delete()


def test_a_message_is_handled_in_the_order_of_the_log(told, follower):
    deliver_versions(3, 1, 2)
    assert follower.applied("s00") == [1, 2, 3]


@pytest.mark.parametrize("suspect", [False, True])
def test_an_early_event_waits_uncounted_and_goes_on_by_itself(told, follower, transport, suspect):
    deliver_versions(3, suspect=suspect)
    deliver_versions(2, 5, suspect=suspect)
    assert follower.applied("s00") == []
    assert parked() == [2, 3, 5]
    assert not Retry.objects.exists()
    assert not Inbox.objects.exists()

    deliver_versions(1, suspect=suspect)
    assert parked() == [5]
    go_on(transport)
    assert follower.applied("s00") == [1, 2, 3]
    assert parked() == [5]

    deliver_versions(4, suspect=suspect)
    go_on(transport)
    assert follower.applied("s00") == [1, 2, 3, 4, 5]
    assert not Parked.objects.exists()


def test_a_second_copy_of_an_early_event_waits_once_and_of_a_handled_one_does_nothing(
    told, follower, transport
):
    deliver_versions(2)
    deliver_versions(2)
    assert parked() == [2]
    deliver_versions(1)
    deliver_versions(2)
    go_on(transport)
    deliver_versions(2)
    assert follower.applied("s00") == [1, 2]
    assert not Parked.objects.exists()


def test_a_parked_event_is_named_in_every_list(told, follower):
    deliver_versions(2)
    event = Event.objects.get(aggregate_version=2)
    (status,) = causation.deliveries(event)
    assert status.status == "parked"
    assert completeness.measure().consumers[NAME]["parked"] == 1
    (group,) = undelivered.groups(Undelivered(state="parked"))
    assert (group.consumer, group.events) == (NAME, 1)
    assert pauses.backlog("orders").events == 1
    assert under_way.aggregates_under_way("orders") == {"sku:s00"}
    assert freshness.handled_until("orders") == event.recorded_at
    row = Event.objects.filter(pk=event.pk).annotate(consumer=Value(NAME), event_id=F("pk"))
    assert row.annotate(status=causation.delivery_status()).get().status == "parked"


def test_events_behind_a_dead_letter_wait_until_it_is_discarded(
    told, follower, transport, settings
):
    settings.EVENTBUS = {**settings.EVENTBUS, "MAX_ATTEMPTS": 1}
    follower.poison = {("s00", 2)}
    deliver_versions(1, 2, 3, 4)
    assert follower.applied("s00") == [1]
    assert parked() == [3, 4]
    dead_letters.discard(DeadLetterFilter(consumer=NAME), "out of date", ME)
    go_on(transport)
    assert follower.applied("s00") == [1, 3, 4]


def test_a_failing_event_is_retried_before_later_ones(told, follower, transport):
    follower.poison = {("s00", 1)}
    deliver_versions(1, 2)
    assert parked() == [2]
    assert Retry.objects.get().attempts == 1
    follower.poison = set()
    clock.offset += dt.timedelta(seconds=5)
    go_on(transport)
    assert follower.applied("s00") == [1, 2]


def test_other_streams_do_not_wait(db, strict, follower):
    tell(2, 2)
    second = Event.objects.get(aggregate="sku:s01", aggregate_version=1)
    deliver(0, NAME, [to_cloudevent(second.envelope())])
    assert follower.applied("s01") == [1]
    assert parked() == []


def test_an_operator_lets_a_stream_go_on_without_the_missing_event(told, follower, transport):
    deliver_versions(2)
    deliver_versions(4)
    out = StringIO()
    call_command("parkedevents", stdout=out)
    assert f"2  {NAME} sku:s00" in out.getvalue()
    (stream,) = parked_events.waiting("orders")
    assert stream.missing == Event.objects.get(aggregate_version=1)
    with pytest.raises(NeedsReason):
        parked_events.skip(NAME, "sku:s00", ME, " ")

    out = StringIO()
    call_command("skipevent", NAME, "sku:s00", reason="lost for good", yes=True, stdout=out)
    assert "1  events now wait for orders.ProductRetired" in out.getvalue()
    go_on(transport)
    assert follower.applied("s00") == [2]
    assert parked() == [4]

    # Handled later, it is out of order.
    deliver_versions(1)
    deliver_versions(3)
    go_on(transport)
    assert follower.applied("s00") == [2, 1, 3, 4]
    assert not Parked.objects.exists()
    with pytest.raises(CommandError, match="parkedevents"):
        call_command("skipevent", NAME, "sku:s00", reason="again", yes=True)


def test_the_admin_lets_a_stream_go_on_and_asks_for_a_reason(
    told, follower, transport, admin_client
):
    deliver_versions(2)
    chosen = {"action": "skip", "_selected_action": [Parked.objects.get().pk]}
    url = reverse("admin:eventbus_parked_changelist")
    page = admin_client.post(url, chosen).content.decode()
    assert f"{NAME} sku:s00" in page
    assert "orders.ProductRetired" in page
    page = admin_client.post(url, chosen | {"confirmed": "1", "reason": " "}).content.decode()
    assert "This field is required." in page
    assert parked() == [2]

    answer = admin_client.post(url, chosen | {"confirmed": "1", "reason": "lost"}, follow=True)
    assert "sku:s00 goes on for orders.follow." in answer.content.decode()
    assert Action.objects.get(operation="skip").reason == "lost"
    go_on(transport)
    assert follower.applied("s00") == [2]
    detail = admin_client.get(
        reverse("admin:eventbus_parked_change", args=[Parked.objects.get().pk])
    )
    assert detail.status_code == 200


def test_parked_events_go_on_when_their_consumer_is_not_ordered_any_more(told, follower, transport):
    deliver_versions(2)
    registry.consumers[NAME] = make_consumer(registry.consumers[NAME].handle)
    deliver_versions(1)
    streams.wake_all()
    go_on(transport)
    assert follower.applied("s00") == [1, 2]
    streams.wake_all()
    assert not Parked.objects.exists()


def test_the_end_of_a_subscription_makes_dead_letters_of_parked_events(told, follower):
    deliver_versions(2)
    del registry.consumers[NAME]
    owed = subscriptions.end(NAME, "", ME, "removed")
    assert owed.parked == 1
    assert DeadLetter.objects.get().event_id == Event.objects.get(aggregate_version=2).pk
    assert not Parked.objects.exists()


def test_a_parked_event_is_not_archived(told, follower, tmp_path):
    deliver_versions(2)
    Subscription.objects.update(until=clock.now())
    clock.offset += dt.timedelta(days=400)
    assert retention.archive(retention.cutoff(1), tmp_path, ME) == 3  # and never the newest


def test_a_rebuild_reads_parked_events_again(told, follower, monkeypatch):
    follower_consumer = follower.consumer("strict", replayable=True)
    registry.consumers[NAME] = follower_consumer
    deliver_versions(3)
    monkeypatch.setattr(rebuild, "consumers_of", lambda context: [follower_consumer])
    monkeypatch.setattr("orders.services.empty", lambda: None, raising=False)
    rebuild.rebuild("orders", ME)
    assert follower.applied("s00") == [1, 2, 3, 4, 5]
    assert not Parked.objects.exists()


@pytest.mark.parametrize("order", [[3, 1, 2], [1, 3, 2], [2, 1, 3]])
def test_the_latest_event_stands_whatever_the_order(db, latest, follower, order):
    tell(1, 3)
    for version in order:
        deliver_versions(version)
    assert follower.applied("s00") == sorted(set(order) & {*accumulate(order, max)})
    assert Inbox.objects.count() == 3


def test_of_one_message_only_the_latest_event_of_a_stream_is_handled(db, latest, follower):
    tell(1, 3)
    deliver_versions(1, 2, 3)
    assert follower.applied("s00") == [3]
    counted = Duplicates.objects.get()
    assert (counted.absorbed, counted.superseded) == (0, 2)


def test_a_latest_event_that_fails_hides_no_earlier_one(db, latest, follower):
    tell(1, 3)
    follower.poison = {("s00", 3)}
    deliver_versions(1, 2, 3)
    assert follower.applied("s00") == [1, 2]


def test_an_old_event_whose_successors_are_archived_is_not_taken_for_the_latest(
    db, latest, follower, transport, tmp_path, settings
):
    settings.EVENTBUS = {**settings.EVENTBUS, "MAX_ATTEMPTS": 1}
    tell(1, 3)
    Outbox.objects.all().delete()
    follower.poison = {("s00", 1)}
    deliver_versions(1)
    deliver_versions(2)
    deliver_versions(3)
    Event.objects.update(recorded_at=clock.now() - dt.timedelta(days=70))
    tell(1, 1)  # the newest event is never archived
    Outbox.objects.all().delete()
    assert retention.archive(retention.cutoff(30), tmp_path, ME) == 2
    follower.poison = set()
    everything = DeadLetterFilter(consumer=NAME)
    dead_letters.retry(everything, ME)
    go_on(transport)
    assert follower.applied("s00") == [2, 3]
    assert "restoreevents" in DeadLetter.objects.get().error

    assert retention.restore(next(tmp_path.glob("*.gz")), ME) == 2
    dead_letters.retry(everything, ME)
    go_on(transport)
    assert follower.applied("s00") == [2, 3]
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize("order", ["strict", "latest"])
def test_an_external_consumer_cannot_be_ordered(order):
    with pytest.raises(BadConsumer, match="order="):
        registry.consumer("orders.ProductRetired", external=True, order=order)(lambda sku: None)


def test_an_unknown_order_is_refused():
    with pytest.raises(BadConsumer, match="latest"):
        registry.consumer("orders.ProductRetired", order="Strict")(lambda sku: None)
