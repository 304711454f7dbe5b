"""A transaction that conflicts with another one is repeated, unseen by its caller."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F

from eventbus import publish
from eventbus.consuming import delivery
from eventbus.models import ConsumerHealth, DeadLetter, Inbox, Retry
from eventbus.relay.relay import Relay
from eventbus.testing import InMemoryTransport, listening
from infra.errors import Refusal
from infra.transactions import atomic, repeat_conflicts
from orders.events import ProductRetired
from orders.models import Product
from tests.eventbus.consumers import make_consumer
from tests.side_by_side import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Opposite:
    """Two threads that lock two rows in opposite orders; the first attempts of both deadlock."""

    met: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))
    calls: list[str] = field(default_factory=list)

    def move(self, first: str, second: str) -> None:
        """Change both rows."""
        self.calls.append(first)
        Product.objects.filter(pk=first).update(views=F("views") + 1)
        if self.calls.count(first) == 1:
            self.met.wait(10)
        Product.objects.filter(pk=second).update(views=F("views") + 1)


@pytest.fixture
def opposite() -> Opposite:
    for sku in ("a", "b"):
        Product.objects.create(sku=sku, name=sku, unit_price="1.00", currency="EUR")
    return Opposite()


def views() -> list[int]:
    return list(Product.objects.order_by("pk").values_list("views", flat=True))


@pytest.mark.postgres
def test_a_service_that_deadlocks_is_repeated(opposite):
    move = atomic(opposite.move)
    side_by_side(lambda: move("a", "b"), lambda: move("b", "a"))
    assert views() == [2, 2]
    assert len(opposite.calls) == 3


@pytest.mark.postgres
@pytest.mark.parametrize("external", [False, True])
def test_deliveries_that_deadlock_are_repeated_and_count_no_attempt(opposite, external):
    def one(sku: str) -> object:
        return None if external else opposite.move("a", "b")

    def other(sku: str) -> object:
        return None if external else opposite.move("b", "a")

    def call_one(sku: str) -> Callable[[], None]:
        return lambda: opposite.move("a", "b")

    def call_other(sku: str) -> Callable[[], None]:
        return lambda: opposite.move("b", "a")

    handlers = (call_one, call_other) if external else (one, other)
    consumers = [make_consumer(handle, external=external) for handle in handlers]
    names = [consumer.name for consumer in consumers]
    with listening(*consumers):
        transport = InMemoryTransport()
        with transaction.atomic():
            publish(ProductRetired(sku="a"))
        Relay(transport).run_once()
        messages = [m for m in transport.messages if m.consumer in names]
        side_by_side(
            *(
                lambda m=m: delivery.deliver(m.dispatch, m.consumer, m.events)  # type: ignore[misc]
                for m in messages
            )
        )

    assert views() == [2, 2]
    assert Inbox.objects.filter(consumer__in=names, handled_at__isnull=False).count() == 2
    for table in (Retry, DeadLetter, ConsumerHealth):
        assert not table.objects.filter(consumer__in=names).exists()


@contextmanager
def serializable() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_isolation TO serializable")
    yield
    connection.close()


@pytest.mark.postgres
def test_a_transaction_that_cannot_be_serialized_is_repeated(opposite):
    @atomic
    def copy(source: str, target: str) -> None:
        seen = Product.objects.get(pk=source).views
        if len(opposite.calls) < 2:
            opposite.calls.append(source)
            opposite.met.wait(10)
        Product.objects.filter(pk=target).update(views=seen + 1)

    def run(source: str, target: str) -> None:
        with serializable():
            copy(source, target)

    side_by_side(lambda: run("a", "b"), lambda: run("b", "a"))
    assert sorted(views()) == [1, 2]  # one after the other; both would be 1 otherwise


def conflict() -> OperationalError:
    error, cause = OperationalError("la base est verrouillée"), sqlite3.OperationalError()
    cause.sqlite_errorname = "SQLITE_BUSY"
    error.__cause__ = cause
    return error


def test_a_conflict_that_does_not_end_is_raised_at_last():
    calls = []

    @atomic
    def conflicting() -> None:
        calls.append(1)
        raise conflict()

    with pytest.raises(OperationalError):
        conflicting()
    assert len(calls) == 6


def test_inside_another_transaction_it_is_that_one_that_is_repeated():
    calls = []

    @atomic
    def inner() -> None:
        calls.append("inner")
        if len(calls) < 4:
            raise conflict()

    @atomic
    def outer() -> None:
        calls.append("outer")
        inner()

    outer()
    assert calls == ["outer", "inner", "outer", "inner"]


class Refused(Refusal):
    """No."""


def test_an_answer_that_a_service_made_of_a_conflict_is_not_repeated():
    calls = []

    def answering() -> None:
        calls.append(1)
        try:
            raise conflict()
        except OperationalError as error:
            raise Refused from error

    with pytest.raises(Refused):
        repeat_conflicts(answering)
    assert calls == [1]


def test_hooks_of_a_repeated_transaction_run_once():
    ran, calls = [], []

    @atomic
    def hooked() -> None:
        calls.append(1)
        transaction.on_commit(lambda: ran.append(len(calls)))
        if len(calls) == 1:
            raise conflict()

    hooked()
    assert ran == [2]
