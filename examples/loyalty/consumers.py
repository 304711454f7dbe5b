"""The subscriptions of loyalty: a consumer reads an event's fields and calls a service."""

from decimal import Decimal
from uuid import UUID

from eventbus import consumer
from loyalty import services


@consumer("orders.OrderPaid", key="customer_id")
def add_points(customer_id: UUID, total: Decimal) -> None:
    """Add a point for each whole unit of the order's currency."""
    services.add_points(customer_id, int(total))
