"""Figures. Days are UTC; `start` and `end` are both included and optional."""

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from django.db.models import (
    Count,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    Max,
    Min,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
)

from analytics.models import OrderFact, Refund, SaleLine, SignUp

Day = dt.date | None
Row = TypeVar("Row", bound=Model)
CENT = Decimal("0.01")  # SQLite sums decimals as floats
GROUPS = {"day": "day", "product": "sku", "country": "country"}


@dataclass(frozen=True, kw_only=True)
class Sales:
    """Sales of a day, product or country in one currency. Refunds are not subtracted."""

    key: str
    name: str | None  # of a product, as it was last sold
    orders: int
    units: int
    revenue: Decimal
    currency: str


@dataclass(frozen=True, kw_only=True)
class TimeToPay:
    """Time from placed to paid, in seconds; None if no order was paid."""

    median_seconds: float | None
    p90_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """The progress of the orders placed in a period, as of now."""

    placed: int
    reserved: int
    paid: int
    cancelled: dict[str, int]  # by code
    refunded: int
    conversion: float | None  # paid of placed; None if none was placed
    time_to_pay: TimeToPay


@dataclass(frozen=True, kw_only=True)
class SignUps:
    """New customers of a day."""

    day: dt.date
    customers: int


@dataclass(frozen=True, kw_only=True)
class Refunds:
    """Refunds of a day in one currency."""

    day: dt.date
    refunds: int
    amount: Decimal
    currency: str


def sales(group_by: str, start: Day = None, end: Day = None) -> list[Sales]:
    """Return the sales by day (ascending), or by product or country (most revenue first)."""
    lines = _between(SaleLine.objects.all(), start, end)
    rows: QuerySet[Any, Any] = lines.values("currency", key=F(GROUPS[group_by])).annotate(
        orders=Count("order_id", distinct=True), units=Sum("quantity"), revenue=Sum("amount")
    )
    if group_by == "product":
        last = SaleLine.objects.filter(sku=OuterRef("key")).order_by("-day", "-order_id")
        rows = rows.annotate(sold_as=Subquery(last.values("name")[:1]))
    order = ["key", "currency"] if group_by == "day" else ["-revenue", "key", "currency"]
    return [
        Sales(
            key=str(row["key"]),
            name=row.get("sold_as"),
            orders=row["orders"],
            units=row["units"],
            revenue=row["revenue"].quantize(CENT),
            currency=row["currency"],
        )
        for row in rows.order_by(*order)
    ]


def top_products(start: Day = None, end: Day = None, limit: int = 10) -> list[Sales]:
    """Return the products with the most revenue."""
    return sales("product", start, end)[:limit]


def funnel(start: Day = None, end: Day = None) -> Funnel:
    """Return the progress of the orders placed on these days."""
    placed = _between(OrderFact.objects.exclude(placed_at=None), start, end)
    refunded = Refund.objects.filter(order_id=OuterRef("order_id"))
    counted = placed.aggregate(
        placed=Count("pk"),
        reserved=Count("pk", filter=~Q(reserved_at=None)),
        paid=Count("pk", filter=~Q(paid_at=None)),
    )
    cancelled = placed.exclude(cancel_code="").values_list("cancel_code")
    return Funnel(
        **counted,
        cancelled=dict(cancelled.annotate(Count("pk")).order_by("cancel_code")),
        refunded=placed.filter(Exists(refunded)).count(),
        conversion=counted["paid"] / counted["placed"] if counted["placed"] else None,
        time_to_pay=_time_to_pay(placed, counted["paid"]),
    )


def sign_ups(start: Day = None, end: Day = None) -> list[SignUps]:
    """Return the new customers by day."""
    rows = _between(SignUp.objects.all(), start, end).values("day")
    return [SignUps(**row) for row in rows.annotate(customers=Count("pk")).order_by("day")]


def refunds(start: Day = None, end: Day = None) -> list[Refunds]:
    """Return the refunds by day and currency."""
    rows = _between(Refund.objects.all(), start, end).values("day", "currency")
    counted = rows.annotate(refunds=Count("pk"), total=Sum("amount")).order_by("day", "currency")
    return [
        Refunds(
            day=row["day"],
            refunds=row["refunds"],
            amount=row["total"].quantize(CENT),
            currency=row["currency"],
        )
        for row in counted
    ]


def days() -> tuple[dt.date, dt.date] | None:
    """Return the first and the last day with a figure; None if there are no figures."""
    found = list(_ends())
    return (min(found), max(found)) if found else None


def _ends() -> Iterator[dt.date]:
    for table in (OrderFact, Refund, SignUp):
        ends = table._default_manager.aggregate(first=Min("day"), last=Max("day"))
        yield from (day for day in ends.values() if day)


def _between(rows: QuerySet[Row], start: Day, end: Day) -> QuerySet[Row]:
    if start:
        rows = rows.filter(day__gte=start)
    return rows.filter(day__lte=end) if end else rows


def _time_to_pay(placed: QuerySet[OrderFact], paid: int) -> TimeToPay:
    took = ExpressionWrapper(F("paid_at") - F("placed_at"), DurationField())
    spans = placed.exclude(paid_at=None).order_by(took).values_list(took, flat=True)
    return TimeToPay(median_seconds=_at(spans, paid, 0.5), p90_seconds=_at(spans, paid, 0.9))


def _at(spans: QuerySet[OrderFact, dt.timedelta], count: int, share: float) -> float | None:
    """Return the percentile by nearest rank, which is a span that occurred."""
    if not count:
        return None
    return spans[math.ceil(share * count) - 1].total_seconds()
