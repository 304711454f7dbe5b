"""Views of orders: the catalogue for all callers, an order for its customer and for operators."""

from orders.api.catalogue import OneProduct, Products
from orders.api.orders import Cancellation, OneOrder, Orders, Overview

__all__ = [
    "Cancellation",
    "OneOrder",
    "OneProduct",
    "Orders",
    "Overview",
    "Products",
]
