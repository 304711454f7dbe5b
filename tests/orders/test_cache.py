"""The cached catalogue: one query for many readers, and no stale copy after a change."""

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection
from rest_framework.test import APIClient

from eventbus.testing import hear
from orders import cache, queries, services
from orders.models import Product

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

N = 50


@pytest.fixture(autouse=True)
def teapot() -> None:
    services.list_product("teapot", "Teapot", Decimal("10.00"), "EUR")
    services.change_availability({"teapot": 3})


def price() -> str:
    return APIClient().get("/v1/products/teapot").data["unit_price"]


def test_fifty_concurrent_readers_of_an_uncached_product_cost_one_query_of_each_table():
    queries_run: list[str] = []
    start = threading.Barrier(N)

    def record(execute, sql, params, many, context):
        queries_run.append(sql)
        return execute(sql, params, many, context)

    def read(_: int) -> object:
        start.wait()
        try:
            with connection.execute_wrapper(record):
                product = queries.cached_product("teapot")
        finally:
            connection.close()
        return product and (product["name"], product["available"])

    with ThreadPoolExecutor(N) as pool:
        assert set(pool.map(read, range(N))) == {("Teapot", 3)}
    assert len([sql for sql in queries_run if "orders_product" in sql]) == 1
    assert len([sql for sql in queries_run if "orders_availability" in sql]) == 1


def test_a_cached_product_costs_no_query(django_assert_num_queries):
    client = APIClient()
    cache.views.add("teapot")  # written now, so that no view below starts a batch
    for _ in range(2):
        client.get("/v1/products")
        client.get("/v1/products/teapot")
    with django_assert_num_queries(0):
        client.get("/v1/products")
        client.get("/v1/products/teapot")


def test_a_new_price_is_shown_immediately():
    assert price() == "10.00"
    services.reprice_product("teapot", Decimal("12.50"))
    assert price() == "12.50"


def test_an_event_invalidates_the_copy_that_a_dead_process_left():
    assert price() == "10.00"
    Product.objects.update(unit_price=Decimal("12.50"))  # and the process dies
    assert price() == "10.00"
    hear(
        "orders.ProductRepriced",
        sku="teapot",
        unit_price=Decimal("12.50"),
        was=Decimal("10.00"),
        currency="EUR",
    )
    assert price() == "12.50"


def test_availability_is_shown_immediately():
    assert queries.cached_product("teapot")["available"] == 3
    services.change_availability({"teapot": -1})
    assert queries.cached_product("teapot")["available"] == 2


def test_a_product_listed_after_a_miss_is_found():
    assert queries.cached_product("cup") is None
    services.list_product("cup", "Cup", Decimal("2.50"), "EUR")
    assert queries.cached_product("cup")["available"] == 0
