"""The figures for those who run the shop: charts first, then the rows they are counted from."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pycountry
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.admin import ModelAdmin

from analytics import queries
from analytics.api import Period
from analytics.models import Chart, OrderFact, Refund, SaleLine, SignUp

MONTH, QUARTER, YEAR = dt.timedelta(days=29), dt.timedelta(days=89), dt.timedelta(days=364)
Figure = Mapping[dt.date, float]


class Looked(ModelAdmin):
    """For every operator to look at, as in the API; for nobody to change."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_active and request.user.is_staff

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(OrderFact)
class OrderFactAdmin(Looked):
    list_display = ["order_id", "placed_at", "country", "total", "currency"]
    list_display += ["reserved_at", "paid_at", "cancelled_at", "cancel_code"]
    list_filter = ["cancel_code", "currency", "placed_at"]
    search_fields = ["=order_id"]
    ordering = ["-placed_at"]


@admin.register(SaleLine)
class SaleLineAdmin(Looked):
    list_display = ["day", "sku", "name", "quantity", "amount", "currency", "country", "order_id"]
    list_filter = ["day", "currency"]
    search_fields = ["sku", "name", "=order_id"]
    ordering = ["-day", "order_id", "position"]


@admin.register(Refund)
class RefundAdmin(Looked):
    list_display = ["day", "amount", "currency", "order_id", "payment_id"]
    list_filter = ["day", "currency"]
    search_fields = ["=order_id", "=payment_id"]
    ordering = ["-day"]


@admin.register(SignUp)
class SignUpAdmin(Looked):
    list_display = ["day", "country", "customer_id"]
    list_filter = ["day"]
    search_fields = ["=customer_id"]
    ordering = ["-day"]


@admin.register(Chart)
class ChartAdmin(Looked):
    """The charts, where other models have their list."""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Draw the figures of a period."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        start, end = _asked(request)
        page = {
            **self.admin_site.each_context(request),
            "title": "Charts",
            **_periods(start, end),
            **_drawn(start, end, request.GET.get("currency", "")),
        }
        return TemplateResponse(request, "analytics/charts.html", page)


def _asked(request: HttpRequest) -> tuple[dt.date, dt.date]:
    """Return the days to draw: as asked, else the last thirty on which something happened."""
    given = {name: request.GET[name] for name in ("from", "to") if request.GET.get(name)}
    asked = Period(data=given)
    if not asked.is_valid():
        messages.error(request, "Days are written like 2026-03-31, the first before the last.")
    days, today = asked.validated_data, timezone.now().date()
    first, last = queries.days() or (today, today)
    end = min(days.get("end") or (today if today - MONTH <= last else last), max(last, today))
    start = days.get("start") or end - MONTH
    return min(max(start, min(first, end - MONTH)), end), end


def _periods(start: dt.date, end: dt.date) -> dict[str, Any]:
    first = (queries.days() or (start, end))[0]
    spans = {"30 days": end - MONTH, "90 days": end - QUARTER, "Year": end - YEAR, "All": first}
    presets = [{"name": name, "start": day, "on": day == start} for name, day in spans.items()]
    return {"start": start, "end": end, "presets": presets}


def _drawn(start: dt.date, end: dt.date, wanted: str) -> dict[str, Any]:
    """Return the charts and the headline figures, in one currency."""
    countries = queries.sales("country", start, end)
    currencies = _by_orders(countries)
    currency = wanted if wanted in currencies else next(iter(currencies), "")
    sold = [row for row in queries.sales("day", start, end) if row.currency == currency]
    joined = {row.day: row.customers for row in queries.sign_ups(start, end)}
    funnel = queries.funnel(start, end)
    return {
        "empty": queries.days() is None,
        "currency": currency,
        "currencies": currencies,
        "funnel": _steps(funnel),
        "cancelled": {code.replace("_", " "): n for code, n in funnel.cancelled.items()},
        "headline": _headline(funnel, sold, start, end) | {"Sign-ups": f"{sum(joined.values()):,}"},
        "pace": {1: "day", 7: "week", 31: "month"}[_pace(start, end)],
        "revenue": _series(start, end, {_day(row): float(row.revenue) for row in sold}),
        "sign_ups": _series(start, end, joined, colour="var(--color-green-500)"),
        "products": _bars(
            (row.name or row.key, row.revenue)
            for row in queries.sales("product", start, end)
            if row.currency == currency
        ),
        "countries": _bars(
            (_country(row.key), row.revenue) for row in countries if row.currency == currency
        ),
    }


def _by_orders(rows: Iterable[queries.Sales]) -> list[str]:
    orders: dict[str, int] = defaultdict(int)
    for row in rows:
        orders[row.currency] += row.orders
    return sorted(orders, key=lambda currency: -orders[currency])


def _day(row: queries.Sales) -> dt.date:
    return dt.date.fromisoformat(row.key)


def _country(code: str) -> str:
    found = pycountry.countries.get(alpha_2=code)
    return found.name if found else code


def _headline(
    funnel: queries.Funnel, sold: Sequence[queries.Sales], start: dt.date, end: dt.date
) -> dict[str, str]:
    orders, revenue = sum(row.orders for row in sold), sum(row.revenue for row in sold)
    currency = sold[0].currency if sold else ""
    back = [row for row in queries.refunds(start, end) if row.currency == currency]
    return {
        "Revenue": f"{revenue:,.2f} {currency}",
        "Paid orders": f"{orders:,}",
        "Average order": f"{revenue / orders:,.2f} {currency}" if orders else "–",
        "Refunded": f"{sum(row.amount for row in back):,.2f} {currency}",
        "Time to pay": _span(funnel.time_to_pay.median_seconds),
    }


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _steps(funnel: queries.Funnel) -> list[dict[str, Any]]:
    """Return how many came to each step of the funnel, and their share of those placed."""
    return [
        {"name": name, "count": count, "share": round(100 * count / max(funnel.placed, 1), 1)}
        for name, count in (
            ("Placed", funnel.placed),
            ("Reserved", funnel.reserved),
            ("Paid", funnel.paid),
            ("Refunded", funnel.refunded),
        )
    ]


def _pace(start: dt.date, end: dt.date) -> int:
    """Return how many days stand under one bar: a day, a week or a month."""
    return 1 if end - start <= QUARTER else 7 if end - start <= 2 * YEAR else 31


def _series(
    start: dt.date, end: dt.date, figures: Figure, colour: str = "var(--color-primary-500)"
) -> str:
    pace, sums = _pace(start, end), defaultdict[dt.date, float](float)
    for n in range((end - start).days + 1):
        day = start + dt.timedelta(days=n)
        bar = day.replace(day=1) if pace == 31 else day - dt.timedelta(days=day.weekday() % pace)
        sums[bar] += figures.get(day, 0)
    labels = [f"{bar:%b %Y}" if pace == 31 else f"{bar.day} {bar:%b}" for bar in sums]
    return _chart(labels, [round(figure, 2) for figure in sums.values()], colour)


def _bars(rows: Iterable[tuple[str, Decimal]], most: int = 10) -> str:
    """Return the longest ten bars, and what the rest would be together."""
    named = [(name, float(figure)) for name, figure in rows]
    top, rest = named[:most], named[most:]
    ...


def _chart(labels: Sequence[str], figures: Sequence[float], colour: str) -> str:
    """Return what Chart.js draws, as unfold's chart component takes it."""
    bars = {"data": figures, "backgroundColor": colour, "borderRadius": 4, "maxBarThickness": 28}
    return json.dumps({"labels": labels, "datasets": [bars]})
