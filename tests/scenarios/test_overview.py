"""One answer about an order, put together from what all contexts said of it."""

import datetime as dt

from rest_framework.test import APIClient

from eventbus.models import DeadLetter, Event
from infra import clock


def overview(shop, order, who="Sari"):
    client = APIClient()
    client.force_authenticate(shop.customer(who))
    return client.get(f"/v1/orders/{order.pk}/overview")


def test_an_overview_tells_of_order_goods_money_and_letters(shop):
    # given
    shop.shelve(teapot=3)
    order = shop.checkout(teapot=2)

    # when
    seen = overview(shop, order).data

    # then
    assert seen["order"]["status"] == "paid"
    assert seen["stock"]["status"] == "reserved"
    assert [(p["status"], p["amount"]) for p in seen["payments"]] == [("captured", "20.00")]
    kinds = {(m["kind"], m["channel"]) for m in seen["messages"]}
    assert kinds == {("order_received", "mail"), ("invoice", "mail"), ("order_paid_push", "push")}


def test_an_overview_keeps_the_last_word(shop):
    # given
    shop.shelve(teapot=3)
    order = shop.checkout(teapot=2)
    shop.cancel(order)
    shop.bus.settle()

    # when
    seen = overview(shop, order).data

    # then
    assert seen["order"]["cancellation"]["reason"] == "changed my mind"
    assert seen["stock"]["status"] == "returned"
    assert [p["status"] for p in seen["payments"]] == ["refunded"]
    assert "cancelled" in {m["kind"] for m in seen["messages"]}


def test_an_overview_says_what_is_missing(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=5)
    shop.bus.settle()

    stock = overview(shop, order).data["stock"]

    assert stock["status"] == "rejected"
    assert stock["shortages"] == [{"sku": "teapot", "wanted": 5, "available": 3}]


def test_an_overview_says_how_fresh_it_is(shop):
    # given
    shop.shelve(teapot=3)
    before = clock.now()
    order = shop.order(teapot=2)

    # when
    waiting = overview(shop, order).data
    shop.bus.settle()
    settled = overview(shop, order).data

    # then
    placed = Event.objects.get(name="orders.OrderPlaced").recorded_at
    assert dt.datetime.fromisoformat(waiting["as_of"]) <= placed
    assert (waiting["stock"], waiting["heard_at"]) == (None, None)
    assert dt.datetime.fromisoformat(settled["as_of"]) > before
    assert settled["heard_at"] > waiting["as_of"]


def test_an_overview_does_not_pass_over_what_was_given_up(shop):
    # given
    shop.shelve(teapot=3)
    order = shop.checkout(teapot=2)
    news = Event.objects.get(name="inventory.StockReserved")
    DeadLetter.objects.create(
        consumer="orders.record_stock_reserved",
        event_id=news.pk,
        name=news.name,
        envelope={},
        died_at=clock.now(),
    )

    # when
    seen = overview(shop, order).data

    # then
    assert dt.datetime.fromisoformat(seen["as_of"]) == news.recorded_at


def test_the_overview_of_somebody_else_s_order_is_not_there(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    assert overview(shop, order, who="Budi").status_code == 404
