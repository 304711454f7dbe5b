"""The analytics API."""

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from tests.analytics.sample_events import fortnight

PAGES = ["sales", "funnel", "sign-ups", "refunds"]


def client_of(**user) -> APIClient:
    client = APIClient()
    client.force_authenticate(get_user_model().objects.create_user("user@kabar.example", **user))
    return client


@pytest.fixture
def operator(db) -> APIClient:
    return client_of(is_staff=True)


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_figures_are_for_operators_only(page):
    assert APIClient().get(f"/v1/analytics/{page}").status_code == 401
    assert client_of().get(f"/v1/analytics/{page}").status_code == 403


@pytest.mark.parametrize("weather", ["calm"])
def test_sales_are_shown_as_decimal_strings(operator, deliver):
    deliver(fortnight())
    rows = operator.get("/v1/analytics/sales?group_by=product&from=2026-03-01&to=2026-03-05").json()
    assert rows == [
        {
            "key": "teapot",
            "name": "Teapot",
            "orders": 1,
            "units": 2,
            "revenue": "20.20",
            "currency": "EUR",
        },
        {"key": "cup", "name": "Cup, red", "orders": 1, "units": 3, "revenue": "3.00"}
        | {"currency": "EUR"},
    ]


@pytest.mark.parametrize("weather", ["calm"])
def test_the_funnel_is_shown(operator, deliver):
    deliver(fortnight())
    assert operator.get("/v1/analytics/funnel").json() == {
        "placed": 5,
        "reserved": 4,
        "paid": 2,
        "cancelled": {"by_customer": 1, "lapsed": 1, "out_of_stock": 1},
        "refunded": 2,
        "conversion": 0.4,
        "time_to_pay": {"median_seconds": 60.0, "p90_seconds": 600.0},
    }


@pytest.mark.parametrize("weather", ["calm"])
def test_sign_ups_and_refunds_are_shown_by_day(operator, deliver):
    deliver(fortnight())
    sign_ups = [{"day": "2026-03-02", "customers": 1}, {"day": "2026-03-06", "customers": 1}]
    refunds = [{"day": "2026-03-06", "refunds": 2, "amount": "4.50", "currency": "EUR"}]
    assert operator.get("/v1/analytics/sign-ups").json() == sign_ups
    assert operator.get("/v1/analytics/refunds?from=2026-03-06").json() == refunds
    assert operator.get("/v1/analytics/refunds?to=2026-03-05").json() == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("group_by=colour", "group_by"),
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-03-02&to=2026-03-01", "to"),
        ("form=2026-03-02", "form"),
        ("from=99999-01-01", "from"),
    ],
)
def test_an_invalid_parameter_is_named(operator, query, field):
    answer = operator.get(f"/v1/analytics/sales?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_the_first_and_the_last_possible_day_are_accepted(operator):
    answer = operator.get("/v1/analytics/funnel?from=0001-01-01&to=9999-12-31")
    assert answer.status_code == 200
