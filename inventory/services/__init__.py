"""Services of inventory. Each function is one transaction.

Stock items are locked in the order of sku, so that transactions do not deadlock. One that calls
several of these functions calls `hold` first.
"""

from inventory.services.movements import hold
from inventory.services.reservations import (
    lapse,
    pin,
    release,
    reserve,
    sell,
    total_quantities,
)
from inventory.services.stock import add_stock_item, replenish

__all__ = [
    "add_stock_item",
    "hold",
    "lapse",
    "pin",
    "release",
    "replenish",
    "reserve",
    "sell",
    "total_quantities",
]
