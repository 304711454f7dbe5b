"""What an order decides: no database is needed to know."""

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


def test_cancelling_says_so_once():
    it = order()
    assert it.cancel("by_customer", "changed my mind", NOW) == OrderCancelled(
        order_id=it.id,
        customer_id=it.customer_id,
        code="by_customer",
        reason="changed my mind",
        was_paid=False,
        cancelled_at=NOW,
    )
    assert it.cancel("by_operator", "twice", NOW) is None
    assert it.reason == "changed my mind"


def test_cancelling_a_paid_order_says_that_it_was_paid():
    fact = order("paid").cancel("by_customer", "broken", NOW)
    assert fact and fact.was_paid


@pytest.mark.parametrize("status", ["placed", "reserved"])
def test_money_makes_an_order_paid_whether_the_goods_were_heard_of_or_not(status):
    it = order(status)
    fact = it.pay(LINES, NOW)
    assert isinstance(fact, OrderPaid)
    assert (it.status, it.paid_at, fact.total) == ("paid", NOW, Decimal("20.00"))


@pytest.mark.parametrize("status", ["paid", "cancelled"])
def test_money_for_a_closed_order_changes_nothing(status):
    it = order(status)
    assert it.pay(LINES, NOW) is None
    assert it.status == status


def test_a_paid_order_does_not_lapse():
    it = order("paid")
    assert it.lapse(NOW) is None
    assert it.status == "paid"


def test_goods_heard_of_late_do_not_reopen_an_order():
    it = order("cancelled")
    it.reserve()
    assert it.status == "cancelled"


def test_the_same_price_is_no_news():
    product = Product(sku="teapot", unit_price=Decimal("10.00"), currency="EUR")
    assert product.reprice(Decimal("10.00")) is None
    fact = product.reprice(Decimal("12.50"))
    assert fact and (fact.was, fact.unit_price) == (Decimal("10.00"), Decimal("12.50"))
