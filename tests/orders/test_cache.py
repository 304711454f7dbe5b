"""The catalogue from the cache: one query for a crowd, and nothing stale after the news."""

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


def test_fifty_readers_of_a_product_nobody_has_read_cost_one_query_of_each_table():
    asked: list[str] = []
    start = threading.Barrier(N)

    def note(execute, sql, params, many, context):
        asked.append(sql)
        return execute(sql, params, many, context)

    def look(_: int) -> object:
        start.wait()
        try:
            with connection.execute_wrapper(note):
                found = queries.cached_product("teapot")
        finally:
            connection.close()
        return found and (found["name"], found["available"])

    with ThreadPoolExecutor(N) as pool:
        assert set(pool.map(look, range(N))) == {("Teapot", 3)}
    assert len([sql for sql in asked if "orders_product" in sql]) == 1
    assert len([sql for sql in asked if "orders_availability" in sql]) == 1


def test_a_second_reader_asks_no_table(django_assert_num_queries):
    client = APIClient()
    cache.views.add("teapot")  # its batch is written, so that no view below begins one
    for _ in range(2):
        client.get("/v1/products")
        client.get("/v1/products/teapot")
    with django_assert_num_queries(0):
        client.get("/v1/products")
        client.get("/v1/products/teapot")


def test_a_new_price_is_shown_at_once():
    assert price() == "10.00"
    services.reprice_product("teapot", Decimal("12.50"))
    assert price() == "12.50"


def test_who_died_before_it_could_forget_is_made_good_by_the_news():
    assert price() == "10.00"
    Product.objects.update(unit_price=Decimal("12.50"))  # and dies
    assert price() == "10.00"
    hear(
        "orders.ProductRepriced",
        sku="teapot",
        unit_price=Decimal("12.50"),
        was=Decimal("10.00"),
        currency="EUR",
    )
    assert price() == "12.50"


def test_what_can_be_had_follows_the_goods():
    assert queries.cached_product("teapot")["available"] == 3
    services.change_availability({"teapot": -1})
    assert queries.cached_product("teapot")["available"] == 2


def test_what_is_listed_after_it_was_looked_for_is_found():
    assert queries.cached_product("cup") is None
    services.list_product("cup", "Cup", Decimal("2.50"), "EUR")
    assert queries.cached_product("cup")["available"] == 0
