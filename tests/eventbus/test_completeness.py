"""Completeness is a figure as of a moment: each delivery owed is in exactly one state."""

import threading

import pytest
from django.db import connection, transaction

from eventbus import publish
from eventbus.models import (
    Action,
    DeadLetter,
    DiscardedDeadLetter,
    Dispatch,
    Event,
    Inbox,
    Outbox,
    Parked,
    Retry,
    Subscription,
)
from eventbus.operations import completeness
from infra import clock
from infra.snapshot import snapshot
from orders.events import ProductRetired

pytestmark = pytest.mark.django_db


@pytest.fixture
def owed() -> tuple[str, Event]:
    """An event in the log only, owed to one consumer."""
    Subscription.objects.all().delete()
    consumer = "orders.hear"
    Subscription.objects.create(
        consumer=consumer, event="orders.ProductRetired", since=clock.now().replace(year=2020)
    )
    with transaction.atomic():
        publish(ProductRetired(sku="a"))
    Outbox.objects.all().delete()
    return consumer, Event.objects.get()


def put(state: str, consumer: str, event: Event) -> None:
    row = {"consumer": consumer, "event_id": event.pk}
    if state == "handled":
        Inbox.objects.create(handled_at=clock.now(), **row)
    elif state == "dead":
        DeadLetter.objects.create(name=event.name, envelope={}, died_at=clock.now(), **row)
    elif state == "discarded":
        action = Action.objects.create(operation=Action.Operation.DISCARD, actor="operator:1")
        DiscardedDeadLetter.objects.create(action=action, dead_letter={}, **row)
    elif state == "retrying":
        Retry.objects.create(error="", failed_at=clock.now(), **row)
    elif state == "parked":
        Parked.objects.create(position=event.position, parked_at=clock.now(), **row)
    elif state == "in_flight":
        Dispatch.objects.create(consumer=consumer, event_ids=[str(event.pk)])
    elif state == "pending":
        Outbox.objects.create(event_id=event.pk)


@pytest.mark.parametrize("state", ["handled", *completeness.STATES, "lost"])
def test_a_delivery_owed_is_in_one_state(owed, state):
    put(state, *owed)
    total = completeness.measure().total
    assert {s: n for s, n in total.items() if n} == {"owed": 1, state: 1}
    assert len(list(completeness.lost())) == (state == "lost")


def test_a_retry_that_is_sent_again_counts_once(owed):
    put("retrying", *owed)
    put("in_flight", *owed)
    assert completeness.measure().total == {"owed": 1, "retrying": 1}


def test_a_call_that_has_started_is_not_handled(owed):
    consumer, event = owed
    Inbox.objects.create(consumer=consumer, event_id=event.pk)
    put("in_flight", consumer, event)
    assert completeness.measure().total["in_flight"] == 1


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="the tests' SQLite is in memory: readers lock tables"
)
@pytest.mark.django_db(transaction=True)
def test_a_snapshot_does_not_see_what_is_written_meanwhile_and_blocks_no_writer(owed):
    def write() -> None:
        put("handled", *owed)
        connection.close()

    with snapshot():
        before = completeness.measure().total
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(30)
        assert completeness.measure().total == before
    assert completeness.measure().total["handled"] == 1
