"""What orders listens to, in its own words.

A parameter is a field we read. The bus fills it by name, ignores the rest of the event, and
`manage.py check` holds it against the producer's contract.
"""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from eventbus import Envelope, consumer
from orders import cache, services
from orders.models import Heard, Order


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


# --- the overview: what other contexts say of an order, last ------------------------------------


@consumer("inventory.StockReserved", key="order_id", replayable=True)
def note_goods_reserved(news: Envelope, order_id: UUID, expires_at: dt.datetime) -> None:
    """The goods are set aside, until then."""
    _note_stock(news, order_id, status="reserved", until=expires_at)


@consumer("inventory.StockRejected", key="order_id", replayable=True)
def note_goods_rejected(news: Envelope, order_id: UUID, shortages: list[Shortage]) -> None:
    """Not all goods are there."""
    _note_stock(news, order_id, status="rejected", shortages=shortages)


@consumer("inventory.StockReleased", key="order_id", replayable=True)
def note_goods_released(news: Envelope, order_id: UUID, why: str) -> None:
    """The goods are for others again."""
    _note_stock(news, order_id, status=why)


@consumer("payments.PaymentCaptured", key="order_id", replayable=True)
def note_payment(
    news: Envelope, order_id: UUID, payment_id: UUID, amount: Decimal, currency: str
) -> None:
    """Money came."""
    _note_payment(news, order_id, payment_id, status="captured", amount=amount, currency=currency)


@consumer("payments.PaymentDeclined", key="order_id", replayable=True)
def note_no_payment(news: Envelope, order_id: UUID, payment_id: UUID, reason: str) -> None:
    """No money came, and why."""
    _note_payment(news, order_id, payment_id, status="declined", reason=reason)


@consumer("payments.PaymentRefunded", key="order_id", replayable=True)
def note_refund(
    news: Envelope, order_id: UUID, payment_id: UUID, amount: Decimal, currency: str, reason: str
) -> None:
    """Money went back, and why."""
    refund = {"amount": amount, "currency": currency, "reason": reason}
    _note_payment(news, order_id, payment_id, status="refunded", **refund)


@consumer("notifications.CustomerTold", key="order_id", replayable=True)
def note_message(
    news: Envelope, order_id: UUID, message_id: UUID, kind: str, channel: str, sent_at: dt.datetime
) -> None:
    """The customer was told."""
    message = {"kind": kind, "channel": channel, "sent_at": sent_at}
    services.note(order_id, Heard.Part.MESSAGE, message_id, news.recorded_at, **message)


def _note_stock(news: Envelope, order_id: UUID, **says: object) -> None:
    services.note(order_id, Heard.Part.STOCK, order_id, news.recorded_at, **says)


def _note_payment(news: Envelope, order_id: UUID, payment_id: UUID, **says: object) -> None:
    services.note(order_id, Heard.Part.PAYMENT, payment_id, news.recorded_at, **says)
