"""A new consumer is sent each event that it is owed, once, although claims and starts race."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from eventbus import publish, registry
from eventbus.models import DeadLetter, Dispatch, Outbox, Subscription
from eventbus.operations import completeness
from eventbus.registry import Consumer
from eventbus.relay import claim, subscriptions
from eventbus.relay.transports import Message
from eventbus.testing import alone
from infra import clock
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

NEW = "orders.listen"

pytestmark = pytest.mark.django_db(transaction=True)


def listen(sku: str) -> None:
    """Handle an event."""


@contextmanager
def registered(consumer: Consumer) -> Iterator[None]:
    """Have the code of a consumer, without a subscription."""
    with alone("nobody"):
        registry.consumers[consumer.name] = consumer
        yield


@pytest.fixture
def new() -> Iterator[None]:
    with registered(make_consumer(listen)):
        yield


@contextmanager
def threads(count: int) -> Iterator[Callable[..., "Future[Any]"]]:
    """Run functions in threads, each with a connection of its own, and raise their errors."""
    futures = []

    def closing(work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return work(*arguments)
        finally:
            connections.close_all()

    def start(work: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        futures.append(pool.submit(closing, work, *arguments))
        return futures[-1]

    with ThreadPoolExecutor(count) as pool:
        yield start
    for future in futures:
        future.result()


def retire(*skus: str) -> None:
    for sku in skus:
        with transaction.atomic():
            publish(ProductRetired(sku=sku))


def received(messages: Sequence[Message]) -> list[str]:
    return [e["data"]["sku"] for m in messages if m.consumer == NEW for e in m.events]


def waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return bool(cursor.fetchone()[0])


def wait_for(predicate: Callable[[], bool]) -> None:
    for _ in range(1000):
        if predicate():
            return
        threading.Event().wait(0.01)
    raise AssertionError("waited 10 s in vain")


@pytest.mark.postgres
def test_an_event_claimed_before_a_subscription_commits_is_sent_to_it(new):
    has_plan, may_publish = threading.Event(), threading.Event()

    def publish_and_claim() -> list[Message]:
        for _ in range(8):  # then the server keeps the plan of the prepared statement
            claim.claim_batch(0)
        has_plan.set()
        assert may_publish.wait(10)
        retire("between")
        return claim.claim_batch(0).messages

    with threads(1) as start:
        between = start(publish_and_claim)
        assert has_plan.wait(10)
        with transaction.atomic():
            subscriptions.sync()
            may_publish.set()
            wait_for(lambda: between.done() or waits_for_a_lock())

    assert received(between.result()) == ["between"]
    assert list(completeness.lost()) == []


@pytest.mark.postgres
def test_a_subscription_that_begins_during_a_claim_is_owed_nothing_of_it(new):
    with threads(1) as start:
        with transaction.atomic():
            retire("before")
        with transaction.atomic():
            assert received(claim.claim_batch(0).messages) == []
            added = start(subscriptions.sync)
            wait_for(lambda: added.done() or waits_for_a_lock())

    assert Subscription.objects.filter(consumer=NEW, until=None).count() == 1
    assert list(completeness.lost()) == []


@pytest.mark.postgres
def test_an_event_claimed_before_an_end_commits_becomes_a_dead_letter():
    Subscription.objects.create(
        consumer="orders.gone", event="orders.ProductRetired", since=clock.now()
    )
    with alone("nobody"), threads(1) as start:
        retire("last")
        with transaction.atomic():
            assert claim.claim_batch(0).messages
            ended = start(
                call_command, "endsubscription", "orders.gone", "--yes", "--reason", "its code went"
            )
            wait_for(lambda: ended.done() or waits_for_a_lock())

    assert not Dispatch.objects.filter(consumer="orders.gone").exists()
    assert DeadLetter.objects.filter(consumer="orders.gone").count() == 1


@pytest.mark.postgres
def test_relays_that_start_and_claim_at_once_send_each_event_owed_once(new):
    published, sent = threading.Event(), []

    def relay() -> None:
        subscriptions.sync()
        while not (published.is_set() and not Outbox.objects.exists()):
            sent.extend(received(claim.claim_batch(0).messages))

    def shop(number: int) -> None:
        retire(*(f"{number}-{n}" for n in range(60)))

    for _ in range(5):
        Subscription.objects.all().delete()
        sent.clear()
        published.clear()
        with threads(6) as start:
            shops = [start(shop, number) for number in range(2)]
            for _ in range(4):
                start(relay)
            for done in shops:
                done.result()
            published.set()

        since = Subscription.objects.get(consumer=NEW).since
        assert list(completeness.lost()) == []
        assert set(Counter(sent).values()) <= {1}
        assert len(sent) == completeness.measure().consumers[NEW]["owed"], since
        Dispatch.objects.all().delete()
        _forget_log()


def _forget_log() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM eventbus_event")


def test_an_event_claimed_at_the_time_of_a_subscription_is_not_owed(new):
    for number in range(20):
        Subscription.objects.all().delete()
        retire(str(number))
        claim.claim_batch(0)
        subscriptions.sync()
        assert completeness.measure().total["owed"] == 0
        retire("after")
        assert received(claim.claim_batch(0).messages) == ["after"]
        _forget_log()


def test_a_consumer_that_comes_back_is_owed_events_from_then_on(new):
    Subscription.objects.create(
        consumer=NEW,
        event="orders.ProductRetired",
        since=clock.now() - timedelta(days=1),
        until=clock.now(),
    )
    retire("meanwhile")
    claim.claim_batch(0)
    subscriptions.sync()
    retire("after")
    assert received(claim.claim_batch(0).messages) == ["after"]
    assert list(completeness.lost()) == []
