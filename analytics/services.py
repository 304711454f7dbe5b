"""What analytics does: it writes down what it hears, each fact once.

Whatever comes first, second or twice, the rows end the same. Many facts take as many statements
as one: one, or two.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from analytics.models import OrderFact, Refund, SaleLine, SignUp
from eventbus import Envelope


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An order, as it was placed."""

    order_id: UUID
    country: str
    total: Decimal
    currency: str
    placed_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """An order whose goods were set aside."""

    order_id: UUID
    envelope: Envelope


@dataclass(frozen=True, kw_only=True)
class Sold:
    """A line of an order, as it was sold."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True, kw_only=True)
class Paid:
    """An order, as it was paid."""

    order_id: UUID
    lines: list[Sold]
    currency: str
    country: str
    placed_at: dt.datetime
    paid_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """An order that came to nothing, and why."""

    order_id: UUID
    code: str
    cancelled_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Refunded:
    """Money that went back."""

    payment_id: UUID
    order_id: UUID
    amount: Decimal
    currency: str
    refunded_at: dt.datetime


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Somebody who became a customer."""

    customer_id: UUID
    country: str
    signed_up_at: dt.datetime


def note_orders(orders: Iterable[Placed]) -> None:
    """Count orders as placed, each on its own date: that of an imported one is long ago."""
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
    _note(facts, "day", "country", "total", "currency", "placed_at")


@transaction.atomic(savepoint=False)
def note_reservations(orders: Sequence[Reserved]) -> None:
    """Count orders as reserved; of several reservations of an order the first one stays."""
    # Nobody writes in between: the consumer's key keeps others from these orders.
    known = OrderFact.objects.filter(pk__in={order.order_id for order in orders})
    known = known.exclude(reserved_at=None)
    told = [(order.order_id, order.envelope.recorded_at) for order in orders]
    # The earliest of an order comes last, and a dict keeps what comes last.
    first = dict(sorted([*known.values_list("pk", "reserved_at"), *told], reverse=True))
    _note((OrderFact(order_id=id, reserved_at=at) for id, at in first.items()), "reserved_at")


@transaction.atomic(savepoint=False)
def note_sales(orders: Sequence[Paid]) -> None:
    """Count orders as paid and their lines as sold, on the day they were placed."""
    _note(
        (OrderFact(order_id=order.order_id, paid_at=order.paid_at) for order in orders), "paid_at"
    )
    lines = [line for order in orders for line in _lines(order)]
    SaleLine.objects.bulk_create(lines, ignore_conflicts=True)


def note_cancellations(orders: Iterable[Cancelled]) -> None:
    """Count orders as cancelled."""
    facts = (
        OrderFact(order_id=order.order_id, cancel_code=order.code, cancelled_at=order.cancelled_at)
        for order in orders
    )
    _note(facts, "cancel_code", "cancelled_at")


def note_refunds(refunds: Iterable[Refunded]) -> None:
    """Count money that went back, on the day it went."""
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


def note_sign_ups(customers: Iterable[Joined]) -> None:
    """Count new customers."""
    rows = [
        SignUp(customer_id=one.customer_id, country=one.country, day=_day(one.signed_up_at))
        for one in customers
    ]
    SignUp.objects.bulk_create(rows, ignore_conflicts=True)


@transaction.atomic
def empty() -> None:
    """Forget everything counted, so that it can be counted again from the log."""
    for table in (SaleLine, Refund, SignUp, OrderFact):
        table._default_manager.all().delete()


def _note(facts: Iterable[OrderFact], *columns: str) -> None:
    """Fill columns of orders, whether their rows are there or not: one statement."""
    # A statement cannot write a row twice; of two that tell of one order the later one holds.
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
