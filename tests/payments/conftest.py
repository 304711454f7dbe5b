"""Events that reach payments alone, and a bank during whose calls other things can happen."""

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from django.db import transaction

from eventbus import Event, publish, registry
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.models import Event as Log
from eventbus.models import Retry, Scheduled
from eventbus.testing import alone, hear
from infra import clock
from inventory.events import PinRefused, ReservationPinned
from orders.events import OrderCancelled
from payments import gateway, services
from payments.events import BankAnswerDue, PinTimedOut
from payments.gateway.in_memory import InMemoryBank, Response
from payments.models import Payment

SARI, BUDI = uuid4(), uuid4()
WHEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def only_this_context(db) -> Iterator[None]:
    with alone("payments"):
        yield


class Bank(InMemoryBank):
    """A bank in memory that runs a function of the test during a call."""

    def __init__(self) -> None:
        super().__init__()
        self.during_call: Callable[[], object] = lambda: None
        self.during_assessment: Callable[[], object] = lambda: None
        self.during_query: Callable[[], object] = lambda: None

    @property
    def movements(self) -> list[tuple[str, Decimal]]:
        return [(m.kind, m.amount) for m in self.ledger]

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> Response:
        self.during_call()
        return super().capture(key, amount, currency, card)

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> Response:
        self.during_call()
        return super().refund(key, reference, amount, currency)

    def charge_of(self, key: str) -> Response:
        self.during_query()
        return super().charge_of(key)

    def assess(self, card: str) -> Response:
        self.during_assessment()
        return super().assess(card)


@pytest.fixture
def bank(monkeypatch, settings) -> Bank:
    settings.PAYMENTS = {**settings.PAYMENTS, "BANK": "", "BANK_URL": "", "FRAUD_URL": ""}
    bank = Bank()
    monkeypatch.setattr(gateway, "in_memory_bank", bank)
    return bank


def place_order(order_id: UUID | None = None, **changes: Any) -> UUID:
    """Publish OrderPlaced; by default Sari's, over 20 euros."""
    order_id = order_id or uuid4()
    payload: dict[str, Any] = {
        "order_id": order_id,
        "customer_id": SARI,
        "lines": [],
        "total": Decimal("20.00"),
        "currency": "EUR",
        "country": "ID",
        "placed_at": WHEN,
    }
    hear("orders.OrderPlaced", **{**payload, **changes})
    return order_id


def cancel_order(order_id: UUID, reason: str = "changed my mind") -> None:
    """Publish OrderCancelled."""
    event = OrderCancelled(
        order_id=order_id,
        customer_id=SARI,
        code="by_customer",
        reason=reason,
        was_paid=False,
        cancelled_at=WHEN,
    )
    deliver_event(event)


def new_payment(card: str = "tok_ok", **options: Any) -> Payment:
    """Return a new payment of a new order."""
    return services.request_payment(place_order(), SARI, card, **options)


def deliver_event(event: Event) -> None:
    """Deliver an event; it must not fail."""
    id = reply(event, None)
    assert not Retry.objects.filter(event_id=id).exists()


def reply(event: Event, request_id: UUID | None, times: int = 1) -> UUID:
    """Deliver a reply to a PinRequested event. A failure remains as a retry."""
    with transaction.atomic():
        id = publish(event, answering=request_id)
    for _ in range(times):
        redeliver(id)
    return id


def redeliver(id: UUID) -> None:
    """Deliver an event of the log again."""
    envelope = Log.objects.get(pk=id).envelope()
    for consumer in registry.consumers_of(envelope.name):
        deliver(0, consumer.name, [to_cloudevent(envelope)])


def retry_failed() -> None:
    """Deliver all failed messages again."""
    for id in Retry.objects.values_list("event_id", flat=True):
        redeliver(id)


def reconcile() -> None:
    """Let each timer run out after which payments asks the bank about a capture."""
    for id in Log.objects.filter(name="payments.BankAnswerDue").values_list("id", flat=True):
        redeliver(id)
    for row in Scheduled.objects.filter(name="payments.BankAnswerDue"):
        row.delete()
        reply(msgspec.convert(row.payload, BankAnswerDue), None)


def pin(payment: Payment, *, seconds: float = 120, times: int = 1, **other: UUID) -> None:
    """Reply that the goods are pinned."""
    event = ReservationPinned(
        order_id=payment.order_id,
        payment_id=payment.id,
        until=clock.now() + dt.timedelta(seconds=seconds),
    )
    reply(event, other.get("request_id", payment.pin_request_id), times)


def refuse_pin(payment: Payment, reason: str = "Nothing is reserved.", **other: UUID) -> None:
    """Reply that the goods are not pinned."""
    event = PinRefused(order_id=payment.order_id, payment_id=payment.id, reason=reason)
    reply(event, other.get("request_id", payment.pin_request_id))


def time_out_pin(payment: Payment) -> None:
    """Let the time for inventory's reply run out."""
    deliver_event(PinTimedOut(payment_id=payment.id, question=payment.pin_request_id))


def reload(payment: Payment) -> Payment:
    """Return the payment as it is now."""
    return Payment.objects.get(pk=payment.pk)
