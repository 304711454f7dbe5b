"""The overview of an order, from the events of all contexts."""

import datetime as dt

from rest_framework.test import APIClient

from eventbus.models import DeadLetter, Event
from infra import clock


def overview(shop, order, name="Sari"):
    client = APIClient()
    client.force_authenticate(shop.customer(name))
    return client.get(f"/v1/orders/{order.pk}/overview")


def test_an_overview_has_order_stock_payments_and_messages(shop):
    # given
    shop.shelve(teapot=3)
    order = shop.checkout(teapot=2)

    # when
    result = overview(shop, order).data

    # then
    assert result["order"]["status"] == "paid"
    assert result["stock"]["status"] == "reserved"
    assert [(p["status"], p["amount"]) for p in result["payments"]] == [("captured", "20.00")]
    kinds = {(m["kind"], m["channel"]) for m in result["messages"]}
    assert kinds == {("order_received", "mail"), ("invoice", "mail"), ("order_paid_push", "push")}


def test_an_overview_has_the_latest_state_of_each_part(shop):
    # given
    shop.shelve(teapot=3)
    order = shop.checkout(teapot=2)
    shop.cancel(order)
    shop.bus.settle()

    # when
    result = overview(shop, order).data

    # then
    assert result["order"]["cancellation"]["reason"] == "changed my mind"
    assert result["stock"]["status"] == "returned"
    assert [p["status"] for p in result["payments"]] == ["refunded"]
    assert "cancelled" in {m["kind"] for m in result["messages"]}


def test_an_overview_lists_shortages(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=5)
    shop.bus.settle()

    stock = overview(shop, order).data["stock"]

    assert stock["status"] == "rejected"
    assert stock["shortages"] == [{"sku": "teapot", "wanted": 5, "available": 3}]


def test_an_overview_has_the_time_up_to_which_it_is_complete(shop):
    # given
    shop.shelve(teapot=3)
    before = clock.now()
    order = shop.order(teapot=2)

    # when
    before_delivery = overview(shop, order).data
    shop.bus.settle()
    settled = overview(shop, order).data

    # then
    placed = Event.objects.get(name="orders.OrderPlaced").recorded_at
    assert dt.datetime.fromisoformat(before_delivery["as_of"]) <= placed
    assert (before_delivery["stock"], before_delivery["heard_at"]) == (None, None)
    assert dt.datetime.fromisoformat(settled["as_of"]) > before
    assert settled["heard_at"] > before_delivery["as_of"]


def test_a_dead_letter_holds_back_as_of(shop):
    # given
    shop.shelve(teapot=3)
    order = shop.checkout(teapot=2)
    event = Event.objects.get(name="inventory.StockReserved")
    DeadLetter.objects.create(
        consumer="orders.record_stock_reserved",
        event_id=event.pk,
        name=event.name,
        envelope={},
        died_at=clock.now(),
    )

    # when
    result = overview(shop, order).data

    # then
    assert dt.datetime.fromisoformat(result["as_of"]) == event.recorded_at


def test_the_overview_of_another_customers_order_is_404(shop):
    shop.shelve(teapot=3)
    order = shop.order(teapot=2)
    assert overview(shop, order, name="Budi").status_code == 404
