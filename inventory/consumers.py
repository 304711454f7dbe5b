"""Reactions of inventory to orders, payments and its own timer."""

from dataclasses import dataclass
from uuid import UUID

from eventbus import Envelope, consumer
from inventory import queries, services


@dataclass(frozen=True, kw_only=True)
class Line:
    """The fields of an order line that inventory reads."""

    sku: str
    quantity: int


def _order_and_skus(order_id: UUID, lines: list[Line]) -> list[object]:
    return [order_id, *(line.sku for line in lines)]


def _order_and_held_goods(order_id: UUID) -> list[object]:
    return [order_id, *queries.skus_held_for(order_id)]


@consumer("orders.ProductListed", key="sku")
def add_stock_item(sku: str) -> None:
    """Adds a stock item for a new product."""
    services.add_stock_item(sku)


@consumer("orders.OrderPlaced", key=_order_and_skus)
def reserve_stock(order_id: UUID, lines: list[Line]) -> None:
    """Reserves all goods of the order, or rejects it."""
    services.reserve(order_id, _goods(lines))


@consumer("orders.OrderPaid", key=_order_and_skus)
def sell_stock(order_id: UUID, lines: list[Line]) -> None:
    """Takes the goods of the order out of stock."""
    services.sell(order_id, _goods(lines))


@consumer("orders.OrderCancelled", key=_order_and_held_goods)
def release_stock(order_id: UUID) -> None:
    """Releases or returns the goods of the order."""
    services.release(order_id)


@consumer("inventory.ReservationExpiryDue", key=_order_and_held_goods)
def lapse_reservation(order_id: UUID) -> None:
    """Releases the goods if the order was not paid in time."""
    services.lapse(order_id)


@consumer("payments.PinRequested", key="order_id")
def pin_reservation(order_id: UUID, payment_id: UUID, envelope: Envelope) -> None:
    """Keeps the reservation from lapsing while the payment is captured, or refuses to."""
    services.pin(order_id, payment_id, envelope.id)


def _goods(lines: list[Line]) -> dict[str, int]:
    return services.total_quantities((line.sku, line.quantity) for line in lines)
