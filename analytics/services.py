"""What analytics does: it writes down what it hears, each fact once.

Whatever comes first, second or twice, the rows end the same. A statement or two a piece and no
savepoints, because fifty of them share a transaction.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, F, Value
from django.db.models.functions import Coalesce, Least

from analytics.models import OrderFact, Refund, SaleLine, SignUp


@dataclass(frozen=True, kw_only=True)
class Sold:
    """A line of an order, as it was sold."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal


def note_order(
    order_id: UUID, country: str, total: Decimal, currency: str, placed_at: dt.datetime
) -> None:
    """Count an order as placed, on its own date: that of an imported one is long ago."""
    _note(
        order_id,
        day=_day(placed_at),
        country=country,
        total=total,
        currency=currency,
        placed_at=placed_at,
    )


@transaction.atomic(savepoint=False)
def note_reservation(order_id: UUID, reserved_at: dt.datetime) -> None:
    """Count an order as reserved; of several reservations the first one stays."""
    OrderFact.objects.bulk_create([OrderFact(order_id=order_id)], ignore_conflicts=True)
    at = Value(reserved_at, DateTimeField())
    OrderFact.objects.filter(pk=order_id).update(
        reserved_at=Least(Coalesce(F("reserved_at"), at), at)
    )


@transaction.atomic(savepoint=False)
def note_sale(
    order_id: UUID,
    lines: Sequence[Sold],
    currency: str,
    country: str,
    placed_at: dt.datetime,
    paid_at: dt.datetime,
) -> None:
    """Count an order as paid and its lines as sold, on the day it was placed."""
    _note(order_id, paid_at=paid_at)
    SaleLine.objects.bulk_create(
        [
            SaleLine(
                order_id=order_id,
                position=position,
                day=_day(placed_at),
                country=country,
                sku=line.sku,
                name=line.name,
                quantity=line.quantity,
                amount=line.quantity * line.unit_price,
                currency=currency,
            )
            for position, line in enumerate(lines)
        ],
        ignore_conflicts=True,
    )


def note_cancellation(order_id: UUID, code: str, cancelled_at: dt.datetime) -> None:
    """Count an order as cancelled."""
    _note(order_id, cancel_code=code, cancelled_at=cancelled_at)


def note_refund(
    payment_id: UUID, order_id: UUID, amount: Decimal, currency: str, refunded_at: dt.datetime
) -> None:
    """Count money that went back, on the day it went."""
    refund = Refund(
        payment_id=payment_id,
        order_id=order_id,
        day=_day(refunded_at),
        amount=amount,
        currency=currency,
    )
    Refund.objects.bulk_create([refund], ignore_conflicts=True)


def note_sign_up(customer_id: UUID, country: str, signed_up_at: dt.datetime) -> None:
    """Count a new customer."""
    row = SignUp(customer_id=customer_id, country=country, day=_day(signed_up_at))
    SignUp.objects.bulk_create([row], ignore_conflicts=True)


@transaction.atomic
def empty() -> None:
    """Forget everything counted, so that it can be counted again from the log."""
    for table in (SaleLine, Refund, SignUp, OrderFact):
        table._default_manager.all().delete()


def _note(order_id: UUID, **columns: Any) -> None:
    """Fill an order's columns, whether its row is there or not: one statement."""
    OrderFact.objects.bulk_create(
        [OrderFact(order_id=order_id, **columns)],
        update_conflicts=True,
        unique_fields=["order_id"],
        update_fields=list(columns),
    )


def _day(moment: dt.datetime) -> dt.date:
    return moment.astimezone(dt.UTC).date()
