"""Writes of the read models. Each is idempotent and independent of the order of events.

A batch takes one or two statements, however long it is.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from analytics.models import OrderFact, Refund, SaleLine, SignUp
from eventbus import Envelope
from infra.transactions import atomic


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Fields read of OrderPlaced."""

    order_id: UUID
    country: str
    total: Decimal
    currency: str
    placed_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """Fields read of StockReserved."""

    order_id: UUID
    envelope: Envelope


@dataclass(frozen=True, kw_only=True)
class Sold:
    """Fields read of a line of OrderPaid."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True, kw_only=True)
class Paid:
    """Fields read of OrderPaid."""

    order_id: UUID
    lines: list[Sold]
    currency: str
    country: str
    placed_at: dt.datetime
    paid_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """Fields read of OrderCancelled."""

    order_id: UUID
    code: str
    cancelled_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Refunded:
    """Fields read of PaymentRefunded."""

    payment_id: UUID
    order_id: UUID
    amount: Decimal
    currency: str
    refunded_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class SignedUp:
    """Fields read of CustomerSignedUp."""

    customer_id: UUID
    country: str
    signed_up_at: dt.datetime


def record_orders(orders: Iterable[Placed]) -> None:
    """Record orders as placed, on the day they were placed (of an import, a past day)."""
    facts = (
        OrderFact(
            order_id=order.order_id,
            day=_day(order.placed_at),
            country=order.country,
            total=order.total,
            currency=order.currency,
            placed_at=order.placed_at,
        )
        for order in orders
    )
    _upsert(facts, "day", "country", "total", "currency", "placed_at")


@transaction.atomic(savepoint=False)
def record_reservations(orders: Sequence[Reserved]) -> None:
    """Record orders as reserved; of several reservations of an order the first stays."""
    # Read, then write, without a race: the consumer's key locks these orders.
    known = OrderFact.objects.filter(pk__in={order.order_id for order in orders})
    known = known.exclude(reserved_at=None)
    reserved = [(order.order_id, order.envelope.recorded_at) for order in orders]
    # Sorted descending, the earliest comes last, and a dict keeps the last value of a key.
    first = dict(sorted([*known.values_list("pk", "reserved_at"), *reserved], reverse=True))
    _upsert((OrderFact(order_id=id, reserved_at=at) for id, at in first.items()), "reserved_at")


@transaction.atomic(savepoint=False)
def record_sales(orders: Sequence[Paid]) -> None:
    """Record orders as paid and their lines as sold, on the day the order was placed."""
    _upsert(
        (OrderFact(order_id=order.order_id, paid_at=order.paid_at) for order in orders), "paid_at"
    )
    lines = [line for order in orders for line in _lines(order)]
    SaleLine.objects.bulk_create(lines, ignore_conflicts=True)


def record_cancellations(orders: Iterable[Cancelled]) -> None:
    """Record orders as cancelled."""
    facts = (
        OrderFact(order_id=order.order_id, cancel_code=order.code, cancelled_at=order.cancelled_at)
        for order in orders
    )
    _upsert(facts, "cancel_code", "cancelled_at")


def record_refunds(refunds: Iterable[Refunded]) -> None:
    """Record refunds, on the day of the refund."""
    rows = [
        Refund(
            payment_id=refund.payment_id,
            order_id=refund.order_id,
            day=_day(refund.refunded_at),
            amount=refund.amount,
            currency=refund.currency,
        )
        for refund in refunds
    ]
    Refund.objects.bulk_create(rows, ignore_conflicts=True)


def record_sign_ups(customers: Iterable[SignedUp]) -> None:
    """Record new customers."""
    rows = [
        SignUp(
            customer_id=customer.customer_id,
            country=customer.country,
            day=_day(customer.signed_up_at),
        )
        for customer in customers
    ]
    SignUp.objects.bulk_create(rows, ignore_conflicts=True)


@atomic
def empty() -> None:
    """Delete all rows, before a rebuild from the event log."""
    for table in (SaleLine, Refund, SignUp, OrderFact):
        table._default_manager.all().delete()


def _upsert(facts: Iterable[OrderFact], *columns: str) -> None:
    """Write columns of orders, inserting the missing rows, in one statement."""
    # PostgreSQL refuses to update a row twice in one statement: the last one of an order is used.
    last = {fact.order_id: fact for fact in facts}
    OrderFact.objects.bulk_create(
        [last[id] for id in sorted(last)],
        update_conflicts=True,
        unique_fields=["order_id"],
        update_fields=columns,
    )


def _lines(order: Paid) -> list[SaleLine]:
    return [
        SaleLine(
            order_id=order.order_id,
            position=position,
            day=_day(order.placed_at),
            country=order.country,
            sku=line.sku,
            name=line.name,
            quantity=line.quantity,
            amount=line.quantity * line.unit_price,
            currency=order.currency,
        )
        for position, line in enumerate(order.lines)
    ]


def _day(moment: dt.datetime) -> dt.date:
    return moment.astimezone(dt.UTC).date()
