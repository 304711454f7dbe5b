"""Reactions of orders to other contexts: the life of an order, availability, the overview.

A parameter is a field that the consumer reads. The bus fills it by name and ignores the other
fields; `manage.py check` compares it with the publisher's contract.
"""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from eventbus import Envelope, consumer
from orders import cache, services
from orders.models import Order, OrderActivity


@dataclass(frozen=True, kw_only=True)
class Goods:
    """A quantity of one product."""

    sku: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """A product of which fewer pieces were available than ordered."""

    sku: str
    wanted: int
    available: int


def _skus(goods: list[Goods]) -> list[str]:
    return [item.sku for item in goods]


# --- the life of an order -----------------------------------------------------------------------


@consumer("inventory.StockReserved", key="order_id")
def mark_reserved(order_id: UUID) -> None:
    """Marks the order reserved."""
    services.mark_reserved(order_id)


@consumer("inventory.StockRejected", key="order_id")
def cancel_out_of_stock(order_id: UUID, shortages: list[Shortage]) -> None:
    """Cancels the order and lists the missing products in the reason."""
    missing = "; ".join(f"{s.sku}: {s.available} of {s.wanted} left" for s in shortages)
    services.cancel_order(order_id, Order.Code.OUT_OF_STOCK, f"Out of stock. {missing}")


@consumer("inventory.StockReleased", key="order_id")
def lapse_order(order_id: UUID, why: str) -> None:
    """Cancels an order whose reservation lapsed; other releases follow a cancellation."""
    if why == "lapsed":
        services.lapse_order(order_id)


@consumer("payments.PaymentCaptured", key="order_id")
def pay_order(order_id: UUID, captured_at: dt.datetime) -> None:
    """Marks the order paid."""
    services.pay_order(order_id, captured_at)


@consumer("payments.PaymentDeclined", key="order_id")
def cancel_declined(order_id: UUID, reason: str, final: bool) -> None:
    """Cancels the order if its payment was declined for good."""
    if final:
        services.cancel_order(order_id, Order.Code.DECLINED, reason)


# --- the catalogue ------------------------------------------------------------------------------


@consumer("orders.ProductListed", "orders.ProductRepriced", "orders.ProductRetired", key="sku")
def invalidate_product(sku: str) -> None:
    """Invalidates the cached product, in case the publishing process died before it did so."""
    cache.invalidate_product(sku)


@consumer("inventory.StockReserved", key=_skus)
def reduce_availability(goods: list[Goods]) -> None:
    """Subtracts reserved pieces."""
    services.change_availability({item.sku: -item.quantity for item in goods})


@consumer("inventory.StockReleased", key=_skus)
def restore_availability(goods: list[Goods]) -> None:
    """Adds released pieces."""
    services.change_availability({item.sku: item.quantity for item in goods})


@consumer("inventory.StockReplenished", key="sku")
def raise_availability(sku: str, quantity: int) -> None:
    """Adds replenished pieces."""
    services.change_availability({sku: quantity})


# --- the overview: the latest event of other contexts about each part of an order ---------------


@consumer("inventory.StockReserved", key="order_id", replayable=True)
def record_stock_reserved(envelope: Envelope, order_id: UUID, expires_at: dt.datetime) -> None:
    """Records in the overview until when the goods are reserved."""
    _record_stock(envelope, order_id, status="reserved", until=expires_at)


@consumer("inventory.StockRejected", key="order_id", replayable=True)
def record_stock_rejected(envelope: Envelope, order_id: UUID, shortages: list[Shortage]) -> None:
    """Records in the overview which products are missing."""
    _record_stock(envelope, order_id, status="rejected", shortages=shortages)


@consumer("inventory.StockReleased", key="order_id", replayable=True)
def record_stock_released(envelope: Envelope, order_id: UUID, why: str) -> None:
    """Records in the overview that the goods were released."""
    _record_stock(envelope, order_id, status=why)


@consumer("payments.PaymentCaptured", key="order_id", replayable=True)
def record_payment_captured(
    envelope: Envelope, order_id: UUID, payment_id: UUID, amount: Decimal, currency: str
) -> None:
    """Records in the overview that a payment was captured."""
    payment = {"amount": amount, "currency": currency}
    _record_payment(envelope, order_id, payment_id, status="captured", **payment)


@consumer("payments.PaymentDeclined", key="order_id", replayable=True)
def record_payment_declined(
    envelope: Envelope, order_id: UUID, payment_id: UUID, reason: str
) -> None:
    """Records in the overview that a payment was declined."""
    _record_payment(envelope, order_id, payment_id, status="declined", reason=reason)


@consumer("payments.PaymentRefunded", key="order_id", replayable=True)
def record_payment_refunded(
    envelope: Envelope,
    order_id: UUID,
    payment_id: UUID,
    amount: Decimal,
    currency: str,
    reason: str,
) -> None:
    """Records in the overview that a payment was refunded."""
    refund = {"amount": amount, "currency": currency, "reason": reason}
    _record_payment(envelope, order_id, payment_id, status="refunded", **refund)


@consumer("notifications.CustomerTold", key="order_id", replayable=True)
def record_message(
    envelope: Envelope,
    order_id: UUID,
    message_id: UUID,
    kind: str,
    channel: str,
    sent_at: dt.datetime,
) -> None:
    """Records in the overview that a message was sent to the customer."""
    message = {"kind": kind, "channel": channel, "sent_at": sent_at}
    part = OrderActivity.Part.MESSAGE
    services.record_activity(order_id, part, message_id, envelope.recorded_at, message)


def _record_stock(envelope: Envelope, order_id: UUID, **details: object) -> None:
    part = OrderActivity.Part.STOCK
    services.record_activity(order_id, part, order_id, envelope.recorded_at, details)


def _record_payment(
    envelope: Envelope, order_id: UUID, payment_id: UUID, **details: object
) -> None:
    part = OrderActivity.Part.PAYMENT
    services.record_activity(order_id, part, payment_id, envelope.recorded_at, details)
