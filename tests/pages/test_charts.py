"""The chart page: for operators, in any period, with little or nothing to draw."""

import datetime as dt
import html
import json
import re
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils import timezone

from analytics import services

CHARTS = "/admin/analytics/chart/"


def sell(order: int, currency: str = "EUR", ago: int = 0, price: str = "10.00") -> None:
    at = timezone.now() - dt.timedelta(days=ago)
    line = services.Sold(sku="teapot", name="Teapot", quantity=2, unit_price=Decimal(price))
    later = at + dt.timedelta(minutes=3)
    known = {"order_id": UUID(int=order), "currency": currency, "country": "ID", "placed_at": at}
    services.record_orders([services.Placed(**known, total=2 * line.unit_price)])
    services.record_sales([services.Paid(**known, lines=[line], paid_at=later)])


def drawn(client, query: str = "") -> tuple[str, list[dict]]:
    answer = client.get(f"{CHARTS}{query}")
    assert answer.status_code == 200
    page = answer.content.decode()
    return page, [json.loads(html.unescape(c)) for c in re.findall(r'data-value="([^"]+)"', page)]


def test_without_sales_the_page_is_empty(operator):
    page, charts = drawn(operator)
    assert "Nothing to count yet." in page
    assert charts == []


def test_sales_are_drawn_by_day(operator):
    sell(1)
    sell(2, ago=3)
    page, (revenue, sign_ups) = drawn(operator)
    figures = revenue["datasets"][0]["data"]
    assert len(figures) == len(revenue["labels"]) == 30
    assert (figures[-1], figures[-4], sum(figures)) == (20.0, 20.0, 40.0)
    assert sum(sign_ups["datasets"][0]["data"]) == 0
    assert "Teapot" in page
    assert "Indonesia" in page
    assert "3 min" in page


def test_a_long_period_is_drawn_by_week_or_month(operator):
    sell(1)
    sell(2, ago=200)
    sell(3, ago=2000)
    for days, pace, points in ((250, "week", 40), (2100, "month", 72)):
        start = (timezone.now() - dt.timedelta(days=days)).date()
        page, (revenue, _) = drawn(operator, f"?from={start}")
        assert f"Revenue per {pace}" in page
        assert len(revenue["labels"]) < points


def test_the_default_period_includes_old_sales(operator):
    sell(1, ago=5000)
    _, (revenue, _) = drawn(operator)
    assert sum(revenue["datasets"][0]["data"]) == 20.0


def test_each_currency_has_its_own_chart(operator):
    sell(1)
    sell(2)
    sell(3, currency="IDR", price="150000.00")
    assert sum(drawn(operator)[1][0]["datasets"][0]["data"]) == 40.0
    assert sum(drawn(operator, "?currency=IDR")[1][0]["datasets"][0]["data"]) == 300000.0
    assert sum(drawn(operator, "?currency=XXX")[1][0]["datasets"][0]["data"]) == 40.0


@pytest.mark.parametrize(
    "asked", ["from=bogus", "from=2026-02-01&to=2026-01-01", "to=0001-01-01", "from=9999-12-31"]
)
def test_invalid_days_are_ignored(operator, asked):
    sell(1)
    drawn(operator, f"?{asked}")


def test_the_charts_are_in_the_admins_index(operator):
    assert CHARTS in operator.get("/admin/").content.decode()
