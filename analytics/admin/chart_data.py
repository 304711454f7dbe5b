"""The data of the charts and the headline figures, in one currency."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pycountry

from analytics import queries

MONTH, QUARTER, YEAR = dt.timedelta(days=29), dt.timedelta(days=89), dt.timedelta(days=364)
NOTHING = "-"
GREY = "#7c8596"  # readable on white and on black: the chart does not change with the theme
OPTIONS = json.dumps(
    {
        "animation": False,
        "maintainAspectRatio": False,
        "borderRadius": 3,
        "maxBarThickness": 32,
        "plugins": {"legend": {"display": False}},
        "interaction": {"mode": "index", "intersect": False},
        "scales": {
            "x": {
                "grid": {"display": False},
                "ticks": {"color": GREY, "maxRotation": 0, "autoSkipPadding": 16},
            },
            "y": {
                "beginAtZero": True,
                "border": {"display": False, "dash": [4, 4]},
                "ticks": {"color": GREY, "precision": 0, "maxTicksLimit": 6},
            },
        },
    }
)


def chart_data(start: dt.date, end: dt.date, requested: str) -> dict[str, Any]:
    """Return the context of the charts template."""
    countries = queries.sales("country", start, end)
    currencies = _currencies(countries)
    currency = requested if requested in currencies else next(iter(currencies), "")
    days = [row for row in queries.sales("day", start, end) if row.currency == currency]
    products = [row for row in queries.sales("product", start, end) if row.currency == currency]
    sign_ups = {row.day: row.customers for row in queries.sign_ups(start, end)}
    funnel = queries.funnel(start, end)
    steps = {"Placed": funnel.placed, "Reserved": funnel.reserved, "Paid": funnel.paid}
    return {
        "empty": queries.days() is None,
        "currency": currency,
        "currencies": currencies,
        "headline": _headline(funnel, days, _refunded(start, end, currency)),
        "sign_ups_total": sum(sign_ups.values()),
        "bucket": {1: "day", 7: "week", 31: "month"}[_bucket_days(start, end)],
        "revenue": _series(start, end, {_day(row): float(row.revenue) for row in days}, "primary"),
        "sign_ups": _series(start, end, sign_ups, "green"),
        "products": _bars([(row.name or row.key, row.revenue) for row in products[:10]]),
        "countries": _bars(
            [(_country(row.key), row.revenue) for row in countries if row.currency == currency][:10]
        ),
        "steps": _bars([*steps.items(), ("Refunded", funnel.refunded)]),
        "cancelled": [(code.replace("_", " "), n) for code, n in funnel.cancelled.items()],
    }


def _currencies(rows: Iterable[queries.Sales]) -> list[str]:
    """Return the currencies, the one with the most orders first."""
    orders: dict[str, int] = defaultdict(int)
    for row in rows:
        orders[row.currency] += row.orders
    return sorted(orders, key=lambda currency: -orders[currency])


def _refunded(start: dt.date, end: dt.date, currency: str) -> Decimal:
    rows = queries.refunds(start, end)
    return sum((row.amount for row in rows if row.currency == currency), Decimal())


def _headline(
    funnel: queries.Funnel, days: Sequence[queries.Sales], refunded: Decimal
) -> list[tuple[str, str]]:
    orders, revenue = sum(row.orders for row in days), sum(row.revenue for row in days)
    return [
        ("Revenue", f"{revenue:,.2f}"),
        ("Paid orders", f"{orders:,}"),
        ("Average order", f"{revenue / orders:,.2f}" if orders else NOTHING),
        ("Refunded", f"{refunded:,.2f}"),
        ("Conversion", NOTHING if funnel.conversion is None else f"{funnel.conversion:.1%}"),
        ("Time to pay", _span(funnel.time_to_pay.median_seconds)),
    ]


def _span(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _day(row: queries.Sales) -> dt.date:
    return dt.date.fromisoformat(row.key)


def _country(code: str) -> str:
    found = pycountry.countries.get(alpha_2=code)
    return found.name if found else code


def _bars(rows: Sequence[tuple[str, Decimal | int]]) -> list[dict[str, Any]]:
    """Return bars with their length in per cent of the longest."""
    longest = max((figure for _, figure in rows), default=0) or 1
    return [
        {"name": name, "figure": f"{figure:,}", "length": f"{100 * figure / longest:.1f}"}
        for name, figure in rows
    ]


def _bucket_days(start: dt.date, end: dt.date) -> int:
    """Return the days of one bar: a day, a week or (about) a month."""
    return 1 if end - start <= QUARTER else 7 if end - start <= 2 * YEAR else 31


def _series(
    start: dt.date, end: dt.date, figures: Mapping[dt.date, float], colour: str
) -> dict[str, str]:
    """Return a bar chart over time for unfold's component; days without figures count 0."""
    bucket, sums = _bucket_days(start, end), defaultdict[dt.date, float](float)
    for n in range((end - start).days + 1):
        day = start + dt.timedelta(days=n)
        point = day.replace(day=1) if bucket == 31 else day - dt.timedelta(day.weekday() % bucket)
        sums[point] += figures.get(day, 0)
    dataset = {
        "data": [round(figure, 2) for figure in sums.values()],
        "backgroundColor": f"var(--color-{colour}-500)",
    }
    labels = [f"{point:%b %Y}" if bucket == 31 else f"{point.day} {point:%b}" for point in sums]
    return {"data": json.dumps({"labels": labels, "datasets": [dataset]}), "options": OPTIONS}
