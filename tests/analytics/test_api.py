"""The figures as operators ask for them."""

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from tests.analytics.news import fortnight

PAGES = ["sales", "funnel", "sign-ups", "refunds"]


def client_of(**user) -> APIClient:
    client = APIClient()
    client.force_authenticate(get_user_model().objects.create_user("who@kabar.example", **user))
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
def test_sales_are_shown_as_decimal_strings(operator, tell):
    tell(fortnight())
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
def test_the_funnel_is_shown(operator, tell):
    tell(fortnight())
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
def test_sign_ups_and_refunds_are_shown_by_day(operator, tell):
    tell(fortnight())
    joined = [{"day": "2026-03-02", "customers": 1}, {"day": "2026-03-06", "customers": 1}]
    back = [{"day": "2026-03-06", "refunds": 2, "amount": "4.50", "currency": "EUR"}]
    assert operator.get("/v1/analytics/sign-ups").json() == joined
    assert operator.get("/v1/analytics/refunds?from=2026-03-06").json() == back
    assert operator.get("/v1/analytics/refunds?to=2026-03-05").json() == []


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ("group_by=colour", "group_by"),
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-03-02&to=2026-03-01", "to"),
        ("form=2026-03-02", "form"),
        ("from=99999-01-01", "from"),
    ],
)
def test_a_bad_parameter_is_named(operator, asked, field):
    answer = operator.get(f"/v1/analytics/sales?{asked}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_the_ends_of_time_are_days_too(operator):
    answer = operator.get("/v1/analytics/funnel?from=0001-01-01&to=9999-12-31")
    assert answer.status_code == 200
