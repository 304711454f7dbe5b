"""The relay: everything committed is sent at least once, whoever dies and whoever is away."""

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


class Road(InMemoryTransport):
    """A transport that may be blocked."""

    blocked = False

    def send(self, messages: Sequence[Message]) -> list[int]:
        if self.blocked:
            raise BrokerUnreachable(reason="no road")
        return super().send(messages)


@pytest.fixture
def road() -> Road:
    return Road()


@pytest.fixture
def relay(db, road) -> Relay:
    subscriptions.sync()
    return Relay(road)


def listen(sku: str) -> None:
    """Leave a row for each time this runs."""
    Product.objects.filter(pk="count").update(views=Product.objects.get(pk="count").views + 1)


@pytest.fixture
def listener():
    with alone("nobody"), listening(make_consumer(listen)):
        Product.objects.create(pk="count", unit_price=0, views=0)
        yield


def say(*skus: str) -> None:
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))


def events_in(messages: Sequence[Message]) -> list[str]:
    return [event["data"]["sku"] for message in messages for event in message.events]


def test_a_message_carries_up_to_fifty_events_in_order(relay, listener, road):
    names = [f"{n:03}" for n in range(120)]
    say(*names)
    relay.run_once()

    assert [message.count for message in road.messages] == [50, 50, 20]
    assert events_in(road.messages) == names
    assert {message.queue for message in road.messages} == {"orders"}


@pytest.mark.parametrize("odd", ["plain", 'a "quoted" \\ name', "línea\n\t\x01", "水 🫖", "null"])
def test_what_leaves_the_outbox_is_the_event_of_the_log(relay, listener, road, odd):
    with acting_as(f"customer:{odd}"), transaction.atomic():
        publish(ProductRetired(sku=odd))
        publish(ProductRetired(sku=odd), version=3, answering=uuid4())
    Event.objects.update(traceparent=odd, tracestate="vendor=1")
    with transaction.atomic():
        publish(ProductRetired(sku=odd))  # by nobody, because of nothing
    relay.run_once()

    logged = [to_cloudevent(event.envelope()) for event in Event.objects.all()]
    assert [event for message in road.messages for event in message.events] == logged


def test_a_broker_that_is_away_costs_no_attempt_and_loses_nothing(relay, listener, road):
    # given
    say("a")
    road.blocked = True
    with pytest.raises(BrokerUnreachable):
        relay.run_once()
    say("b")
    for _ in range(5):
        with pytest.raises(BrokerUnreachable):
            relay.run_once()
    assert (Dispatch.objects.count(), Outbox.objects.count()) == (1, 1)

    # when
    road.blocked = False
    while relay.run_once():
        continue

    # then
    assert events_in(road.messages) == ["a", "b"]
    assert not Retry.objects.exists()
    assert not DeadLetter.objects.exists()


def test_what_a_relay_claimed_before_it_died_is_sent_by_another(relay, listener, road):
    say("a")
    Relay(Road())._claim()  # it dies here
    assert not Outbox.objects.exists()

    assert relay.run_once() == 0, "the other one may still be at it"
    clock.offset = dt.timedelta(minutes=1)
    assert relay.run_once() == 1
    assert events_in(road.messages) == ["a"]


def test_what_was_sent_but_not_confirmed_goes_again_and_has_its_effect_once(relay, listener, road):
    say("a")
    relay.run_once()
    Dispatch.objects.update(confirmed_at=None)  # it died between sending and noting it
    clock.offset = dt.timedelta(minutes=1)
    relay.run_once()

    assert events_in(road.messages) == ["a", "a"]
    for message in road.messages:
        deliver(message.dispatch, message.consumer, message.events)
    assert Product.objects.get(pk="count").views == 1
    assert not Dispatch.objects.exists()


def test_scheduled_news_keeps_its_origin(relay, db):
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
class TestSideBySide:
    def test_many_relays_send_each_event_once(self, listener):
        say(*(f"{n:03}" for n in range(600)))
        roads = [Road() for _ in range(4)]

        def work(number: int) -> None:
            relay = Relay(roads[number])
            while Outbox.objects.exists():
                relay.run_once()

        _threads(4, work)

        sent = Counter(sku for road in roads for sku in events_in(road.messages))
        assert len(sent) == 600
        assert set(sent.values()) == {1}

    def test_racing_deliveries_have_each_effect_once(self, listener):
        say(*(f"{n:03}" for n in range(60)))
        road = Road()
        Relay(road).run_once()

        def work(number: int) -> None:
            for message in road.messages:
                deliver(message.dispatch, message.consumer, message.events)

        _threads(4, work)

        assert Product.objects.get(pk="count").views == 60
        assert Inbox.objects.filter(consumer="orders.listen").count() == 60
        assert not Dispatch.objects.exists()

    def test_what_commits_late_is_not_passed_over(self, listener):
        road, wrote, may_commit = Road(), threading.Event(), threading.Event()

        def slow() -> None:
            with transaction.atomic():
                publish(ProductRetired(sku="first, but late"))
                wrote.set()
                assert may_commit.wait(30)
            connection.close()

        thread = threading.Thread(target=slow)
        thread.start()
        assert wrote.wait(30)
        say("second, but early")
        relay = Relay(road)
        relay.run_once()
        assert events_in(road.messages) == ["second, but early"]

        may_commit.set()
        thread.join()
        relay.run_once()
        assert events_in(road.messages) == ["second, but early", "first, but late"]

    def test_a_batch_waits_for_another_that_touches_the_same(self, listener):
        """Without turns, `listen` above reads, another writes, and a count is lost."""
        say("a", "b")
        wires = [[to_cloudevent(e.envelope())] for e in Event.objects.all()]
        _threads(2, lambda number: deliver(0, "orders.listen", wires[number]))
        assert Product.objects.get(pk="count").views == 2
