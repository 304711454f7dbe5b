"""The statements and round trips of the bus, counted on the wire, so that they do not grow."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile

import pytest
from django.db import connection, transaction

from eventbus import publish
from eventbus.consuming import pauses
from eventbus.consuming.delivery import deliver
from eventbus.models import Dispatch
from eventbus.relay import subscriptions
from eventbus.relay.relay import Relay
from eventbus.testing import InMemoryTransport, alone, listening
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="counts PostgreSQL's messages"),
]


@dataclass
class Cost:
    """Statements, with BEGIN and COMMIT, and how often the client waited for an answer."""

    statements: int = 0
    round_trips: int = 0


@contextmanager
def counted() -> Iterator[Cost]:
    """Count by libpq's own trace of this session."""
    cost = Cost()
    connection.ensure_connection()
    session = connection.connection.pgconn
    with TemporaryFile("w+") as trace:
        session.trace(os.dup(trace.fileno()))
        try:
            yield cost
        finally:
            session.untrace()
        trace.seek(0)
        sent = re.findall(r"^[^\t]*\tF\t\d+\t(\w+)", trace.read(), re.MULTILINE)
    cost.statements = sent.count("Query") + sent.count("Execute")
    cost.round_trips = sent.count("Query") + sent.count("Sync")


def retire(count: int) -> None:
    with transaction.atomic():
        for n in range(count):
            publish(ProductRetired(sku=f"{n}"))


@pytest.fixture
def relay() -> Iterator[Relay]:
    def listen(sku: str) -> None:
        """Run no statement."""

    with alone("nobody"), listening(make_consumer(listen)):
        subscriptions.sync()
        relay = Relay(InMemoryTransport())
        relay.prepare()
        pauses.is_paused("orders.listen")  # each process reads the pauses once a second
        yield relay


def test_a_publish_is_one_statement(relay):
    with transaction.atomic():
        Dispatch.objects.exists()  # the transaction has begun
        with counted() as cost:
            publish(ProductRetired(sku="teapot"))
    assert cost == Cost(statements=1, round_trips=1)


@pytest.mark.parametrize("events", [1, 50, 500])
def test_the_relay_needs_two_statements_for_one_event_and_for_five_hundred(relay, events):
    relay._send(relay._claim())  # from here on the statements are prepared
    retire(events)
    with counted() as cost:
        relay._send(relay._claim())
    assert len(relay.transport.messages) == -(-events // 50)
    assert cost == Cost(statements=2, round_trips=2)


@pytest.mark.parametrize("events", [1, 50])
def test_a_message_of_fifty_events_costs_as_many_statements_as_one_of_one(relay, events):
    retire(events)
    relay._send(relay._claim())
    (message,) = relay.transport.messages
    with counted() as cost:
        deliver(message.dispatch, message.consumer, message.events)
    assert not Dispatch.objects.exists()
    assert cost == Cost(statements=5, round_trips=4)


def test_an_idle_relay_polls_with_one_statement(relay):
    relay._iterate()
    with counted() as cost:
        for _ in range(10):
            relay._full_poll_at = relay._lost_search_at = float("inf")  # no full poll in between
            relay._iterate()
    assert cost.statements == 10, cost
