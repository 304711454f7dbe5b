"""State changes of orders and products, without a database."""

import datetime as dt
from decimal import Decimal
from uuid import uuid4

import pytest

from orders.events import Line, OrderCancelled, OrderPaid
from orders.models import Order, Product

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LINES = [Line(sku="teapot", name="Teapot", quantity=2, unit_price=Decimal("10.00"))]


def order(status: str = "placed") -> Order:
    return Order(
        customer_id=uuid4(),
        country="ID",
        currency="EUR",
        total=Decimal("20.00"),
        status=status,
        placed_at=NOW,
    )


def test_an_order_is_cancelled_once():
    placed = order()
    assert placed.cancel("by_customer", "changed my mind", NOW) == OrderCancelled(
        order_id=placed.id,
        customer_id=placed.customer_id,
        code="by_customer",
        reason="changed my mind",
        was_paid=False,
        cancelled_at=NOW,
    )
    assert placed.cancel("by_operator", "twice", NOW) is None
    assert placed.reason == "changed my mind"


def test_cancelling_a_paid_order_has_was_paid():
    event = order("paid").cancel("by_customer", "broken", NOW)
    assert event and event.was_paid


@pytest.mark.parametrize("status", ["placed", "reserved"])
def test_a_payment_makes_an_order_paid_reserved_or_not(status):
    placed = order(status)
    event = placed.pay(LINES, NOW)
    assert isinstance(event, OrderPaid)
    assert (placed.status, placed.paid_at, event.total) == ("paid", NOW, Decimal("20.00"))


@pytest.mark.parametrize("status", ["paid", "cancelled"])
def test_a_payment_for_a_paid_or_cancelled_order_changes_nothing(status):
    placed = order(status)
    assert placed.pay(LINES, NOW) is None
    assert placed.status == status


def test_a_paid_order_does_not_lapse():
    placed = order("paid")
    assert placed.lapse(NOW) is None
    assert placed.status == "paid"


def test_a_late_reservation_does_not_reopen_an_order():
    placed = order("cancelled")
    placed.reserve()
    assert placed.status == "cancelled"


def test_the_same_price_is_no_event():
    product = Product(sku="teapot", unit_price=Decimal("10.00"), currency="EUR")
    assert product.reprice(Decimal("10.00")) is None
    event = product.reprice(Decimal("12.50"))
    assert event and (event.was, event.unit_price) == (Decimal("10.00"), Decimal("12.50"))
