"""Models of inventory: stock, its ledger, and reservations.

A method that changes the state returns the event to publish, or None if there is none.
"""

from inventory.models.reservations import Reservation, event_goods, shortages
from inventory.models.stock import MAX_QUANTITY, Movement, StockItem

__all__ = [
    "MAX_QUANTITY",
    "Movement",
    "Reservation",
    "StockItem",
    "event_goods",
    "shortages",
]
