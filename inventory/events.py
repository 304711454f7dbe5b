"""Events that inventory publishes."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from eventbus import Event


@dataclass(frozen=True, kw_only=True)
class Goods:
    """A quantity of one product; an event has one entry for each product."""

    sku: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """A product of which fewer pieces are available than an order wants."""

    sku: str
    wanted: int
    available: int


class StockReserved(Event, about="order_id"):
    """All goods of an order are reserved until `expires_at`, and no longer available to others."""

    order_id: UUID
    goods: list[Goods]
    expires_at: dt.datetime


class StockRejected(Event, about="order_id"):
    """Not all goods of an order are available, so none was reserved."""

    order_id: UUID
    shortages: list[Shortage]


class StockReleased(Event, about="order_id"):
    """Goods of an order are available again. `why`: lapsed, cancelled, or returned (were sold)."""

    order_id: UUID
    goods: list[Goods]
    why: str


class StockReplenished(Event, about="sku"):
    """Pieces of a product were added to the stock and are available."""

    sku: str
    quantity: int


class StockLow(Event, about="sku"):
    """The available pieces of a product fell below its threshold."""

    sku: str
    available: int
    threshold: int


class ReservationPinned(Event, about="order_id"):
    """The answer to payments.PinRequested: the reservation will not lapse before `until`.

    Its causation is the id of the PinRequested event.
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
    """A timer of inventory: the time to pay for a reservation is over."""

    order_id: UUID
