"""What inventory listens to, in its own words."""

from dataclasses import dataclass
from uuid import UUID

from eventbus import Envelope, consumer
from inventory import services


@dataclass(frozen=True, kw_only=True)
class Line:
    """What inventory needs of an order's line."""

    sku: str
    quantity: int


def _touched(order_id: UUID, lines: list[Line]) -> list[object]:
    return [order_id, *(line.sku for line in lines)]


@consumer("orders.ProductListed", key="sku")
def open_shelf(sku: str) -> None:
    """A new product gets a shelf."""
    services.open_shelf(sku)


@consumer("orders.OrderPlaced", key=_touched)
def reserve_stock(order_id: UUID, lines: list[Line]) -> None:
    """Set the goods aside, all or none."""
    services.reserve(order_id, services.pieces((line.sku, line.quantity) for line in lines))


@consumer("orders.OrderPaid", key=_touched)
def sell_stock(order_id: UUID, lines: list[Line]) -> None:
    """The goods are the customer's."""
    services.sell(order_id, services.pieces((line.sku, line.quantity) for line in lines))


@consumer("orders.OrderCancelled", key="order_id")
def release_stock(order_id: UUID) -> None:
    """The goods can be had again."""
    services.release(order_id)


@consumer("inventory.ReservationExpiryDue", key="order_id")
def lapse_reservation(order_id: UUID) -> None:
    """The time to pay is over."""
    services.lapse(order_id)


@consumer("payments.PinRequested", key="order_id")
def pin_reservation(order_id: UUID, payment_id: UUID, envelope: Envelope) -> None:
    """Payments asks whether the goods will stay while it takes the money."""
    services.pin(order_id, payment_id, envelope.id)
