"""What orders listens to, in its own words.

A parameter is a field we read. The bus fills it by name, ignores the rest of the event, and
`manage.py check` holds it against the producer's contract.
"""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from eventbus import consumer
from orders import cache, services
from orders.models import Order


@dataclass(frozen=True, kw_only=True)
class Goods:
    """So many pieces of a product."""

    sku: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """What was wanted of a product, and how many were left."""

    sku: str
    wanted: int
    available: int


def _skus(goods: list[Goods]) -> list[str]:
    return [item.sku for item in goods]


@consumer("inventory.StockReserved", key="order_id")
def note_reserved(order_id: UUID) -> None:
    """The goods are set aside."""
    services.note_reserved(order_id)


@consumer("inventory.StockRejected", key="order_id")
def cancel_for_want_of_goods(order_id: UUID, shortages: list[Shortage]) -> None:
    """Not all goods are there: the sale is off, and the customer learns which are missing."""
    missing = "; ".join(f"{s.sku}: {s.available} of {s.wanted} left" for s in shortages)
    services.cancel_order(order_id, Order.Code.OUT_OF_STOCK, f"Out of stock. {missing}")


@consumer("inventory.StockReleased", key="order_id")
def lapse_order(order_id: UUID, why: str) -> None:
    """Goods not paid in time end an order; other releases are its end already."""
    if why == "lapsed":
        services.lapse_order(order_id)


@consumer("payments.PaymentCaptured", key="order_id")
def pay_order(order_id: UUID, captured_at: dt.datetime) -> None:
    """The money is there."""
    services.pay_order(order_id, captured_at)


@consumer("payments.PaymentDeclined", key="order_id")
def give_up(order_id: UUID, reason: str, final: bool) -> None:
    """A card that was refused for good ends the order."""
    if final:
        services.cancel_order(order_id, Order.Code.DECLINED, reason)


@consumer("orders.ProductListed", "orders.ProductRepriced", "orders.ProductRetired", key="sku")
def forget_product(sku: str) -> None:
    """Our own news, in case that whoever told it died before it could forget the copies."""
    cache.forget_product(sku)


@consumer("inventory.StockReserved", key=_skus)
def take_off_shelf(goods: list[Goods]) -> None:
    """Less can be had."""
    services.move_goods({item.sku: -item.quantity for item in goods})


@consumer("inventory.StockReleased", key=_skus)
def put_back_on_shelf(goods: list[Goods]) -> None:
    """More can be had again."""
    services.move_goods({item.sku: item.quantity for item in goods})


@consumer("inventory.StockReplenished", key="sku")
def fill_shelf(sku: str, quantity: int) -> None:
    """More arrived."""
    services.move_goods({sku: quantity})
