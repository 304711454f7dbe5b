"""What inventory says to the rest of the house."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from eventbus import Event


@dataclass(frozen=True, kw_only=True)
class Goods:
    """So many pieces of a product; one entry for each product."""

    sku: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """What an order wanted of a product, and how many were left."""

    sku: str
    wanted: int
    available: int


class StockReserved(Event, about="order_id"):
    """All goods of an order are set aside for it, until they lapse. They are less available now."""

    order_id: UUID
    goods: list[Goods]
    expires_at: dt.datetime


class StockRejected(Event, about="order_id"):
    """Not all goods of an order are there, so none was set aside."""

    order_id: UUID
    shortages: list[Shortage]


class StockReleased(Event, about="order_id"):
    """Goods of an order are available again. `why`: lapsed, cancelled, or returned (were sold)."""

    order_id: UUID
    goods: list[Goods]
    why: str


class StockReplenished(Event, about="sku"):
    """More of a product arrived, and is available."""

    sku: str
    quantity: int


class StockLow(Event, about="sku"):
    """Fewer pieces of a product are available than should be."""

    sku: str
    available: int
    threshold: int


class ReservationPinned(Event, about="order_id"):
    """The answer to payments.PinRequested: the reservation will not lapse until then.

    The answer's causation is the id of the question.
    """

    order_id: UUID
    payment_id: UUID
    until: dt.datetime


class PinRefused(Event, about="order_id"):
    """The answer to payments.PinRequested: there is no reservation to pin."""

    order_id: UUID
    payment_id: UUID
    reason: str


class ReservationExpiryDue(Event, about="order_id", only_for="inventory"):
    """Inventory's alarm clock: the time to pay for a reservation is over."""

    order_id: UUID
