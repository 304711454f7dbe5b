"""The orders API: catalogue, orders, cancellation."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from eventbus.testing import said
from orders import services
from orders.events import OrderCancelled, OrderPlaced
from orders.models import Order


@pytest.fixture
def customer(db) -> User:
    return User.objects.create_user("sari@example.org", "x", name="Sari")


@pytest.fixture
def operator(db) -> User:
    return User.objects.create_superuser("op@example.org", "x", name="Op")


@pytest.fixture
def client(customer) -> APIClient:
    client = APIClient()
    client.force_authenticate(customer)
    return client


@pytest.fixture
def products(db) -> None:
    services.list_product("teapot", "Teapot", Decimal("10.00"), "EUR")
    services.list_product("cup", "Cup", Decimal("2.50"), "EUR")
    services.list_product("fan", "Fan", Decimal("30000.00"), "IDR")


def order(*lines: tuple[str, object], country: str = "ID") -> dict[str, Any]:
    return {"lines": [{"sku": s, "quantity": q} for s, q in lines], "country": country}


def test_an_order_keeps_names_and_prices_as_sold(client, products):
    answer = client.post("/v1/orders", order(("teapot", 2), ("cup", 4)))

    assert answer.status_code == 201
    assert (answer.data["status"], answer.data["total"]) == ("placed", "30.00")
    assert answer["Location"].endswith(f"/v1/orders/{answer.data['id']}")
    services.reprice_product("teapot", Decimal("99.00"))
    again = client.get(answer["Location"]).data
    assert [line["unit_price"] for line in again["lines"]] == ["10.00", "2.50"]
    assert [type(event) for event in said("orders")].count(OrderPlaced) == 1


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (order(("unknown", 1)), "lines[0].sku", "no product unknown"),
        (order(("teapot", 1), ("unknown", 1)), "lines[1].sku", "no product unknown"),
        (order(("teapot", 0)), "lines[0].quantity", "greater than or equal to 1"),
        (order(("teapot", -1)), "lines[0].quantity", "greater than or equal to 1"),
        (order(("teapot", 10**9)), "lines[0].quantity", "less than or equal to"),
        (order(("teapot", "two")), "lines[0].quantity", "valid integer"),
        (order(("teapot", 1), ("fan", 1)), "lines", "EUR and IDR"),
        (order(*[("teapot", 1)] * 1001), "lines", "no more than 1000"),
        (order(), "lines", "at least 1"),
        (order(("teapot", 1), country="XX"), "country", "ISO 3166-1"),
        ({**order(("teapot", 1)), "total": "0.01"}, "total", "Unknown field"),
        ({"lines": "teapot", "country": "ID"}, "lines", "list"),
        ({"lines": [[]], "country": "ID"}, "lines[0]", "dictionary"),
        ([], "", "dictionary"),
    ],
)
def test_an_invalid_order_names_the_field_and_saves_nothing(client, products, body, field, words):
    answer = client.post("/v1/orders", body)

    assert answer.status_code == 400, answer.data
    assert [e for e in answer.data["errors"] if e["field"] == field and words in e["detail"]]
    assert not Order.objects.exists()
    assert not [event for event in said("orders") if isinstance(event, OrderPlaced)]


def test_a_retired_product_cannot_be_ordered(client, products):
    services.retire_product("teapot")
    answer = client.post("/v1/orders", order(("teapot", 1)))
    assert answer.status_code == 400
    assert "no longer for sale" in answer.data["errors"][0]["detail"]


def test_an_order_above_the_highest_total_is_refused(client, operator, products):
    services.list_product("palace", "Palace", Decimal("9999999999.99"), "EUR")
    answer = client.post("/v1/orders", order(("palace", 100_000)))
    assert answer.status_code == 400
    assert "is limited to" in answer.data["errors"][0]["detail"]


def test_orders_of_other_customers_are_404(client, operator, products):
    theirs = services.place_order(
        operator.pk, [services.RequestedLine(sku="cup", quantity=1)], "ID"
    )

    assert client.get(f"/v1/orders/{theirs.pk}").status_code == 404
    assert client.post(f"/v1/orders/{theirs.pk}/cancellation", {}).status_code == 404
    assert client.get("/v1/orders").data["count"] == 0


def test_a_customer_may_have_a_limited_number_of_unpaid_orders(
    client, operator, products, settings
):
    settings.ORDERS = {**settings.ORDERS, "MOST_OPEN": 2}
    first, _ = (client.post("/v1/orders", order(("cup", 1))) for _ in range(2))

    refused = client.post("/v1/orders", order(("cup", 1)))
    assert (refused.status_code, refused.data["type"]) == (409, "/problems/TooManyOpen")
    assert services.place_order(operator.pk, [services.RequestedLine(sku="cup", quantity=1)], "ID")

    services.pay_order(UUID(first.data["id"]), timezone.now())
    assert client.post("/v1/orders", order(("cup", 1))).status_code == 201


def test_imported_orders_are_not_limited(customer, products, settings):
    settings.ORDERS = {**settings.ORDERS, "MOST_OPEN": 1}
    for _ in range(3):
        lines = [services.RequestedLine(sku="cup", quantity=1)]
        services.place_order(customer.pk, lines, "ID", placed_at=timezone.now())
    assert Order.objects.count() == 3


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_concurrent_orders_of_a_customer_stay_within_the_limit(customer, products, settings):
    settings.ORDERS = {**settings.ORDERS, "MOST_OPEN": 3}

    def place(_: int) -> int:
        with closing(connection):
            client = APIClient()
            client.force_authenticate(customer)
            return client.post("/v1/orders", order(("cup", 1))).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(place, range(16)))
    assert Counter(statuses) == {201: 3, 409: 13}


def test_cancelling_a_paid_order_requires_an_idempotency_key(client, products):
    placed = client.post("/v1/orders", order(("cup", 1)))
    services.pay_order(UUID(placed.data["id"]), timezone.now())
    url = placed["Location"] + "/cancellation"

    refused = client.post(url, {})
    assert (refused.status_code, refused.data["type"]) == (400, "/problems/KeyMissing")
    again = [client.post(url, {}, headers={"idempotency-key": "once"}) for _ in range(2)]
    assert [answer.status_code for answer in again] == [202, 202]
    assert len([event for event in said("orders") if isinstance(event, OrderCancelled)]) == 1


def test_cancelling_twice_is_refused_with_the_first_reason(client, products):
    url = client.post("/v1/orders", order(("cup", 1)))["Location"]
    first = client.post(f"{url}/cancellation", {"reason": "changed my mind"})
    second = client.post(f"{url}/cancellation", {"reason": "again"})

    assert (first.status_code, second.status_code) == (202, 409)
    assert first.data["cancellation"] == {"code": "by_customer", "reason": "changed my mind"}
    assert "changed my mind" in second.data["detail"]


def test_ordering_requires_a_log_in(db, products):
    assert APIClient().post("/v1/orders", order(("cup", 1))).status_code == 401
    assert APIClient().get("/v1/products").status_code == 200


def test_only_operators_list_reprice_and_retire(client, operator, products):
    new = {"sku": "bowl", "name": "Bowl", "unit_price": "5.00", "currency": "EUR"}
    assert client.post("/v1/products", new).status_code == 403
    assert client.patch("/v1/products/cup", {"unit_price": "1.00"}).status_code == 403

    client.force_authenticate(operator)
    assert client.post("/v1/products", new).status_code == 201
    assert client.post("/v1/products", new).status_code == 409
    assert client.patch("/v1/products/bowl", {"unit_price": "6.00"}).data["unit_price"] == "6.00"
    assert client.patch("/v1/products/bowl", {"active": False}).data["active"] is False
    assert client.patch("/v1/products/bowl", {"active": True}).status_code == 400
    assert client.post("/v1/products", {**new, "currency": "XXZ", "sku": "x"}).status_code == 400
    assert client.get("/v1/products/unknown").status_code == 404
    assert [type(f).__name__ for f in said("orders")][-3:] == [
        "ProductListed",
        "ProductRepriced",
        "ProductRetired",
    ]


def test_the_most_viewed_product_comes_first(client, products):
    client.get("/v1/products/cup")
    assert client.get("/v1/products").data["results"][0]["sku"] == "cup"
