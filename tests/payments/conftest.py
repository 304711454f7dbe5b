"""Only payments hears anything here, and a bank that lets things happen while it thinks."""

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
from payments.gateway.fakes import Answer, PlayedBank
from payments.models import Payment

SARI, BUDI = uuid4(), uuid4()
WHEN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def only_this_context(db) -> Iterator[None]:
    with alone("payments"):
        yield


class Bank(PlayedBank):
    """The played bank; something may happen while it, or the fraud desk, thinks."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None
        self.while_judging: Callable[[], object] = lambda: None
        self.while_asked: Callable[[], object] = lambda: None

    @property
    def moved(self) -> list[tuple[str, Decimal]]:
        return [(m.kind, m.amount) for m in self.ledger]

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> Answer:
        self.meanwhile()
        return super().capture(key, amount, currency, card)

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> Answer:
        self.meanwhile()
        return super().refund(key, reference, amount, currency)

    def charge_of(self, key: str) -> Answer:
        self.while_asked()
        return super().charge_of(key)

    def assess(self, card: str) -> Answer:
        self.while_judging()
        return super().assess(card)


@pytest.fixture
def bank(monkeypatch, settings) -> Bank:
    settings.PAYMENTS = {**settings.PAYMENTS, "BANK": "", "BANK_URL": "", "FRAUD_URL": ""}
    played = Bank()
    monkeypatch.setattr(gateway, "played", played)
    return played


def placed(order_id: UUID | None = None, **changes: Any) -> UUID:
    """Let payments hear of an order, of Sari's and over 20 euros if nothing else is said."""
    order_id = order_id or uuid4()
    told: dict[str, Any] = {
        "order_id": order_id,
        "customer_id": SARI,
        "lines": [],
        "total": Decimal("20.00"),
        "currency": "EUR",
        "country": "ID",
        "placed_at": WHEN,
    }
    hear("orders.OrderPlaced", **{**told, **changes})
    return order_id


def cancelled(order_id: UUID, reason: str = "changed my mind") -> None:
    """Let payments hear that an order is off."""
    fact = OrderCancelled(
        order_id=order_id,
        customer_id=SARI,
        code="by_customer",
        reason=reason,
        was_paid=False,
        cancelled_at=WHEN,
    )
    told(fact)


def requested(card: str = "tok_ok", **options: Any) -> Payment:
    """Return a payment of an order placed just now."""
    return services.request_payment(placed(), SARI, card, **options)


def told(fact: Event) -> None:
    """Let payments hear a fact, whatever else is in trouble meanwhile."""
    id = answered(fact, None)
    assert not Retry.objects.filter(event_id=id).exists()


def answered(fact: Event, question: UUID | None, times: int = 1) -> UUID:
    """Let payments hear an answer to a question. Failures are left as retries."""
    with transaction.atomic():
        id = publish(fact, answering=question)
    for _ in range(times):
        redelivered(id)
    return id


def redelivered(id: UUID) -> None:
    """Bring a message again."""
    envelope = Log.objects.get(pk=id).envelope()
    for consumer in registry.consumers_of(envelope.name):
        deliver(0, consumer.name, [to_cloudevent(envelope)])


def retried() -> None:
    """Bring all again that failed."""
    for id in Retry.objects.values_list("event_id", flat=True):
        redelivered(id)


def asked_again() -> None:
    """Let each alarm ring that makes payments ask the bank what became of a capture."""
    for id in Log.objects.filter(name="payments.BankAnswerDue").values_list("id", flat=True):
        redelivered(id)
    for row in Scheduled.objects.filter(name="payments.BankAnswerDue"):
        row.delete()
        answered(msgspec.convert(row.payload, BankAnswerDue), None)


def pinned(payment: Payment, *, seconds: float = 120, times: int = 1, **other: UUID) -> None:
    """Let inventory promise the goods for so long."""
    fact = ReservationPinned(
        order_id=payment.order_id,
        payment_id=payment.id,
        until=clock.now() + dt.timedelta(seconds=seconds),
    )
    answered(fact, other.get("question", payment.question), times)


def refused(payment: Payment, reason: str = "Nothing is reserved.", **other: UUID) -> None:
    """Let inventory say that there are no goods."""
    fact = PinRefused(order_id=payment.order_id, payment_id=payment.id, reason=reason)
    answered(fact, other.get("question", payment.question))


def alarm(payment: Payment) -> None:
    """Let the alarm clock ring."""
    told(PinTimedOut(payment_id=payment.id, question=payment.question))


def now(payment: Payment) -> Payment:
    """Return the payment as it is now."""
    return Payment.objects.get(pk=payment.pk)
