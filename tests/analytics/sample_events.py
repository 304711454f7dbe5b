"""The events of a fortnight in a small shop, as the other contexts publish them."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

from accounts.events import CustomerSignedUp
from eventbus import Event
from inventory.events import Goods, StockReserved
from orders.events import Line, OrderCancelled, OrderPaid, OrderPlaced
from payments.events import PaymentRefunded

SARI, BUDI = UUID(int=1), UUID(int=2)
MONDAY = dt.datetime(2026, 3, 2, 23, 30, tzinfo=dt.UTC)
TEAPOT = Line(sku="teapot", name="Teapot", quantity=2, unit_price=Decimal("10.10"))
CUP = Line(sku="cup", name="Cup", quantity=3, unit_price=Decimal("1.00"))
RED_CUP = Line(sku="cup", name="Cup, red", quantity=1, unit_price=Decimal("1.50"))


def total(lines: list[Line]) -> Decimal:
    return sum((line.quantity * line.unit_price for line in lines), Decimal())


def placed(order: int, *lines: Line, country: str = "ID", at: dt.datetime = MONDAY, **more):
    return OrderPlaced(
        order_id=UUID(int=order),
        customer_id=SARI,
        lines=list(lines),
        total=total(list(lines)),
        currency=more.get("currency", "EUR"),
        country=country,
        placed_at=at,
    )


def reserved(order: int) -> StockReserved:
    goods = [Goods(sku="teapot", quantity=1)]
    return StockReserved(order_id=UUID(int=order), goods=goods, expires_at=MONDAY)


def paid(order: OrderPlaced, after: int) -> OrderPaid:
    """Return OrderPaid, so many seconds after the order was placed."""
    return OrderPaid(
        order_id=order.order_id,
        customer_id=order.customer_id,
        lines=order.lines,
        total=order.total,
        currency=order.currency,
        country=order.country,
        placed_at=order.placed_at,
        paid_at=order.placed_at + dt.timedelta(seconds=after),
    )


def cancelled(order: int, code: str, was_paid: bool = False) -> OrderCancelled:
    return OrderCancelled(
        order_id=UUID(int=order),
        customer_id=SARI,
        code=code,
        reason="because",
        was_paid=was_paid,
        cancelled_at=MONDAY,
    )


def refunded(order: int, amount: str, at: dt.datetime = MONDAY) -> PaymentRefunded:
    return PaymentRefunded(
        payment_id=UUID(int=1000 + order),
        order_id=UUID(int=order),
        customer_id=SARI,
        amount=Decimal(amount),
        currency="EUR",
        reason="because",
        refunded_at=at,
    )


def signed_up(customer: UUID, country: str, at: dt.datetime = MONDAY) -> CustomerSignedUp:
    return CustomerSignedUp(
        customer_id=customer,
        email="customer@example.org",
        name="Customer",
        language="id",
        country=country,
        phone=None,
        wants_messages=True,
        signed_up_at=at,
    )


def fortnight() -> list[Event]:
    """Return the events of five orders: two paid (one refunded), two cancelled, one open."""
    friday = MONDAY + dt.timedelta(days=4)
    first, second = placed(11, TEAPOT, CUP), placed(12, RED_CUP, country="SG", at=friday)
    third, fourth = placed(13, CUP), placed(14, CUP, at=friday)
    fifth = placed(15, TEAPOT, at=friday, currency="SGD")
    return [
        signed_up(SARI, "ID"),
        signed_up(BUDI, "SG", friday),
        *[first, reserved(11), paid(first, 60)],
        *[second, reserved(12), reserved(12), paid(second, 600)],
        *[cancelled(12, "by_customer", was_paid=True), refunded(12, "1.50", friday)],
        *[third, cancelled(13, "out_of_stock")],
        *[fourth, reserved(14), cancelled(14, "lapsed"), refunded(14, "3.00", friday)],
        *[fifth, reserved(15)],
    ]
