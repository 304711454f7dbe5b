"""Services of inventory. Each function is one transaction.

Stock items are locked in the order of sku, so that transactions do not deadlock.
"""

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
    "lapse",
    "pin",
    "release",
    "replenish",
    "reserve",
    "sell",
    "total_quantities",
]
