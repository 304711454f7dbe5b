"""The page of charts: its period and its presets."""

import datetime as dt
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from analytics import queries
from analytics.admin.chart_data import MONTH, QUARTER, YEAR, chart_data
from analytics.admin.rows import FigureAdmin
from analytics.models import Chart
from analytics.serializers import Period


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
            **chart_data(start, end, request.GET.get("currency", "")),
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
