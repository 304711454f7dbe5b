"""The relay sends every committed event at least once, through kills and outages."""

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, connections, transaction

from eventbus import publish
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.errors import BrokerUnreachable
from eventbus.models import DeadLetter, Dispatch, Event, Inbox, Outbox, Retry
from eventbus.origin import acting_as
from eventbus.relay import subscriptions
from eventbus.relay.relay import Relay
from eventbus.relay.transports import Message
from eventbus.testing import InMemoryTransport, alone, listening
from infra import clock
from orders.events import ProductRetired
from orders.models import Product
from tests.eventbus.consumers import make_consumer


class BlockableTransport(InMemoryTransport):
    """A transport that may be blocked."""

    blocked = False

    def send(self, messages: Sequence[Message]) -> list[int]:
        if self.blocked:
            raise BrokerUnreachable(reason="blocked")
        return super().send(messages)


@pytest.fixture
def transport() -> BlockableTransport:
    return BlockableTransport()


@pytest.fixture
def relay(db, transport) -> Relay:
    subscriptions.sync()
    return Relay(transport)


def listen(sku: str) -> None:
    """Count each run in a row."""
    Product.objects.filter(pk="count").update(views=Product.objects.get(pk="count").views + 1)


@pytest.fixture
def listener():
    with alone("nobody"), listening(make_consumer(listen)):
        Product.objects.create(pk="count", unit_price=0, views=0)
        yield


def retire(*skus: str) -> None:
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))


def events_in(messages: Sequence[Message]) -> list[str]:
    return [event["data"]["sku"] for message in messages for event in message.events]


def test_a_message_carries_up_to_fifty_events_in_order(relay, listener, transport):
    names = [f"{n:03}" for n in range(120)]
    retire(*names)
    relay.run_once()

    assert [message.count for message in transport.messages] == [50, 50, 20]
    assert events_in(transport.messages) == names
    assert {message.queue for message in transport.messages} == {"orders"}


@pytest.mark.parametrize("odd", ["plain", 'a "quoted" \\ name', "línea\n\t\x01", "水 🫖", "null"])
def test_a_message_contains_the_logged_event_unchanged(relay, listener, transport, odd):
    with acting_as(f"customer:{odd}"), transaction.atomic():
        publish(ProductRetired(sku=odd))
        publish(ProductRetired(sku=odd), version=3, answering=uuid4())
    Event.objects.update(traceparent=odd, tracestate="vendor=1")
    with transaction.atomic():
        publish(ProductRetired(sku=odd))  # without an actor and a cause
    relay.run_once()

    logged = [to_cloudevent(event.envelope()) for event in Event.objects.all()]
    assert [event for message in transport.messages for event in message.events] == logged


def test_an_unreachable_broker_costs_no_attempt_and_loses_nothing(relay, listener, transport):
    # given
    retire("a")
    transport.blocked = True
    with pytest.raises(BrokerUnreachable):
        relay.run_once()
    retire("b")
    for _ in range(5):
        with pytest.raises(BrokerUnreachable):
            relay.run_once()
    assert (Dispatch.objects.count(), Outbox.objects.count()) == (1, 1)

    # when
    transport.blocked = False
    while relay.run_once():
        continue

    # then
    assert events_in(transport.messages) == ["a", "b"]
    assert not Retry.objects.exists()
    assert not DeadLetter.objects.exists()


def test_events_claimed_by_a_killed_relay_are_sent_by_another(relay, listener, transport):
    retire("a")
    Relay(BlockableTransport())._claim()  # it dies here
    assert not Outbox.objects.exists()

    assert relay.run_once() == 0, "the other relay may still send it"
    clock.offset = dt.timedelta(minutes=1)
    assert relay.run_once() == 1
    assert events_in(transport.messages) == ["a"]


def test_an_unconfirmed_message_is_sent_again_and_has_its_effect_once(relay, listener, transport):
    retire("a")
    relay.run_once()
    Dispatch.objects.update(confirmed_at=None)  # killed between sending and recording the confirm
    clock.offset = dt.timedelta(minutes=1)
    relay.run_once()

    assert events_in(transport.messages) == ["a", "a"]
    for message in transport.messages:
        deliver(message.dispatch, message.consumer, message.events)
    assert Product.objects.get(pk="count").views == 1
    assert not Dispatch.objects.exists()


def test_a_scheduled_event_keeps_its_id(relay, db):
    id = publish(ProductRetired(sku="later"), due=dt.timedelta(seconds=1))
    clock.offset = dt.timedelta(seconds=2)
    relay.run_once()
    assert Event.objects.get().pk == id


def _threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Work in threads, each with a connection of its own."""

    def one(number: int) -> Any:
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
class TestParallelRelaysAndWorkers:
    def test_many_relays_send_each_event_once(self, listener):
        retire(*(f"{n:03}" for n in range(600)))
        transports = [BlockableTransport() for _ in range(4)]

        def work(number: int) -> None:
            relay = Relay(transports[number])
            while Outbox.objects.exists():
                relay.run_once()

        _threads(4, work)

        sent = Counter(sku for transport in transports for sku in events_in(transport.messages))
        assert len(sent) == 600
        assert set(sent.values()) == {1}

    def test_racing_deliveries_have_each_effect_once(self, listener):
        retire(*(f"{n:03}" for n in range(60)))
        transport = BlockableTransport()
        Relay(transport).run_once()

        def work(number: int) -> None:
            for message in transport.messages:
                deliver(message.dispatch, message.consumer, message.events)

        _threads(4, work)

        assert Product.objects.get(pk="count").views == 60
        assert Inbox.objects.filter(consumer="orders.listen").count() == 60
        assert not Dispatch.objects.exists()

    def test_an_event_that_commits_late_is_not_skipped(self, listener):
        transport, wrote, may_commit = BlockableTransport(), threading.Event(), threading.Event()

        def slow() -> None:
            with transaction.atomic():
                publish(ProductRetired(sku="first, but late"))
                wrote.set()
                assert may_commit.wait(30)
            connection.close()

        thread = threading.Thread(target=slow)
        thread.start()
        assert wrote.wait(30)
        retire("second, but early")
        relay = Relay(transport)
        relay.run_once()
        assert events_in(transport.messages) == ["second, but early"]

        may_commit.set()
        thread.join()
        relay.run_once()
        assert events_in(transport.messages) == ["second, but early", "first, but late"]

    def test_a_batch_waits_for_another_with_the_same_key(self, listener):
        """Without the lock, two runs of `listen` read the same count, and one is lost."""
        retire("a", "b")
        wires = [[to_cloudevent(e.envelope())] for e in Event.objects.all()]
        _threads(2, lambda number: deliver(0, "orders.listen", wires[number]))
        assert Product.objects.get(pk="count").views == 2


@pytest.mark.postgres
def test_the_server_compiles_no_plan_of_a_poll(relay):
    with connection.cursor() as cursor:
        cursor.execute("SET jit TO on; SET jit_above_cost TO 0")
    connection.connection._tuned = False
    relay._full_poll_at = float("inf")  # the outbox alone
    relay._iterate()
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE) SELECT count(*) FROM eventbus_outbox")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)
    assert "JIT" not in plan
