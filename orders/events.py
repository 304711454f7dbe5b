"""Events that orders publishes."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from eventbus import Event


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of an order, with name and price as sold."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal


class ProductListed(Event, about="sku"):
    """A product is for sale."""

    sku: str
    name: str
    description: str
    unit_price: Decimal
    currency: str


class ProductRepriced(Event, about="sku"):
    """The price of a product changed; orders placed before keep their price."""

    sku: str
    unit_price: Decimal
    was: Decimal
    currency: str


class ProductRetired(Event, about="sku"):
    """A product is no longer for sale."""

    sku: str


class OrderPlaced(Event, about="order_id"):
    """A customer committed to buy. Nothing is reserved or paid yet."""

    order_id: UUID
    customer_id: UUID
    lines: list[Line]
    total: Decimal
    currency: str
    country: str
    placed_at: dt.datetime


class OrderPaid(Event, about="order_id"):
    """The payment of an order was captured: its goods are sold."""

    order_id: UUID
    customer_id: UUID
    lines: list[Line]
    total: Decimal
    currency: str
    country: str
    placed_at: dt.datetime
    paid_at: dt.datetime


class OrderCancelled(Event, about="order_id"):
    """An order was cancelled: its reservation is released and its payment refunded.

    `code`: out_of_stock, declined, lapsed, by_customer or by_operator. `reason` is for people.
    """

    order_id: UUID
    customer_id: UUID
    code: str
    reason: str
    was_paid: bool
    cancelled_at: dt.datetime
