"""State changes of orders and products, without a database."""

import datetime as dt
from decimal import Decimal
from uuid import uuid4

import pytest

from orders.events import Line, OrderCancelled, OrderPaid
from orders.models import Order, Product

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LINES = [Line(sku="teapot", name="Teapot", quantity=2, unit_price=Decimal("10.00"))]


def an_order(status: str = "placed") -> Order:
    return Order(
        customer_id=uuid4(),
        country="ID",
        currency="EUR",
        total=Decimal("20.00"),
        status=status,
        placed_at=NOW,
    )


def test_an_order_is_cancelled_once():
    order = an_order()
    assert order.cancel("by_customer", "changed my mind", NOW) == OrderCancelled(
        order_id=order.id,
        customer_id=order.customer_id,
        code="by_customer",
        reason="changed my mind",
        was_paid=False,
        cancelled_at=NOW,
    )
    assert order.cancel("by_operator", "twice", NOW) is None
    assert order.reason == "changed my mind"


def test_cancelling_a_paid_order_has_was_paid():
    event = an_order("paid").cancel("by_customer", "broken", NOW)
    assert event and event.was_paid


@pytest.mark.parametrize("status", ["placed", "reserved"])
def test_a_payment_makes_an_order_paid_reserved_or_not(status):
    order = an_order(status)
    event = order.pay(LINES, NOW)
    assert isinstance(event, OrderPaid)
    assert (order.status, order.paid_at, event.total) == ("paid", NOW, Decimal("20.00"))


@pytest.mark.parametrize("status", ["paid", "cancelled"])
def test_a_payment_for_a_paid_or_cancelled_order_changes_nothing(status):
    order = an_order(status)
    assert order.pay(LINES, NOW) is None
    assert order.status == status


def test_a_paid_order_does_not_lapse():
    order = an_order("paid")
    assert order.lapse(NOW) is None
    assert order.status == "paid"


def test_a_late_reservation_does_not_reopen_an_order():
    order = an_order("cancelled")
    order.reserve()
    assert order.status == "cancelled"


def test_the_same_price_is_no_event():
    product = Product(sku="teapot", unit_price=Decimal("10.00"), currency="EUR")
    assert product.reprice(Decimal("10.00")) is None
    event = product.reprice(Decimal("12.50"))
    assert event and (event.was, event.unit_price) == (Decimal("10.00"), Decimal("12.50"))
