"""Charts for operators, and the rows that they are drawn from."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pycountry
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from analytics import queries
from analytics.models import Chart, OrderFact, Refund, SaleLine, SignUp
from analytics.serializers import Period
from infra.admin import ReadOnlyAdmin

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


class FigureAdmin(ReadOnlyAdmin):
    """Read-only for every operator, as in the API."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_active and request.user.is_staff


@admin.register(OrderFact)
class OrderFactAdmin(FigureAdmin):
    list_display = ["order_id", "placed_at", "country", "total", "currency"]
    list_display += ["reserved_at", "paid_at", "cancelled_at", "cancel_code"]
    list_filter = ["cancel_code", "currency", "placed_at"]
    search_fields = ["=order_id"]
    ordering = ["-placed_at"]


@admin.register(SaleLine)
class SaleLineAdmin(FigureAdmin):
    list_display = ["day", "sku", "name", "quantity", "amount", "currency", "country", "order_id"]
    list_filter = ["day", "currency"]
    search_fields = ["sku", "name", "=order_id"]
    ordering = ["-day", "order_id", "position"]


@admin.register(Refund)
class RefundAdmin(FigureAdmin):
    list_display = ["day", "amount", "currency", "order_id", "payment_id"]
    list_filter = ["day", "currency"]
    search_fields = ["=order_id", "=payment_id"]
    ordering = ["-day"]


@admin.register(SignUp)
class SignUpAdmin(FigureAdmin):
    list_display = ["day", "country", "customer_id"]
    list_filter = ["day"]
    search_fields = ["=customer_id"]
    ordering = ["-day"]


@admin.register(Chart)
class ChartAdmin(FigureAdmin):
    """Shows the charts in place of a list of rows."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Draw the charts of a period."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        start, end = _period(request)
        page = {
            **self.admin_site.each_context(request),
            "title": "Charts",
            **_presets(start, end),
            **_charts(start, end, request.GET.get("currency", "")),
        }
        return TemplateResponse(request, "analytics/charts.html", page)


def _period(request: HttpRequest) -> tuple[dt.date, dt.date]:
    """Return the requested days, by default the last thirty days with figures."""
    period = Period(data={n: request.GET[n] for n in ("from", "to") if request.GET.get(n)})
    if not period.is_valid():
        messages.error(request, "Write days like 2026-03-31, the first before the last.")
    requested = period.validated_data
    today = timezone.now().date()
    first, last = queries.days() or (today, today)
    end = requested.get("end") or (today if last > today - MONTH else last)
    end = max(min(end, max(last, today)), first)
    start = requested.get("start") or end - MONTH
    return min(max(start, min(first, end - MONTH)), end), end


def _presets(start: dt.date, end: dt.date) -> dict[str, Any]:
    first, last = queries.days() or (start, end)
    spans = {"30 days": last - MONTH, "90 days": last - QUARTER, "Year": last - YEAR, "All": first}
    presets = [
        {"name": name, "start": day, "end": last, "on": (day, last) == (start, end)}
        for name, day in spans.items()
    ]
    return {"start": start, "end": end, "days": f"from={start}&to={end}", "presets": presets}


def _charts(start: dt.date, end: dt.date, requested: str) -> dict[str, Any]:
    """Return the charts and the headline figures, in one currency."""
    countries = queries.sales("country", start, end)
    currencies = _by_orders(countries)
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
        "in_all": sum(sign_ups.values()),
        "pace": {1: "day", 7: "week", 31: "month"}[_bucket_days(start, end)],
        "revenue": _series(start, end, {_day(row): float(row.revenue) for row in days}, "primary"),
        "sign_ups": _series(start, end, sign_ups, "green"),
        "products": _bars([(row.name or row.key, row.revenue) for row in products[:10]]),
        "countries": _bars(
            [(_country(row.key), row.revenue) for row in countries if row.currency == currency][:10]
        ),
        "steps": _bars([*steps.items(), ("Refunded", funnel.refunded)]),
        "cancelled": [(code.replace("_", " "), n) for code, n in funnel.cancelled.items()],
    }


def _by_orders(rows: Iterable[queries.Sales]) -> list[str]:
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
