"""Models of orders: the catalogue, orders, and activity in other contexts.

A method that changes the state returns the event to publish, or None if nothing changed.
"""

from orders.models.activity import OrderActivity
from orders.models.catalogue import Availability, Product
from orders.models.orders import Order, OrderLine, event_lines

__all__ = [
    "Availability",
    "Order",
    "OrderActivity",
    "OrderLine",
    "Product",
    "event_lines",
]
