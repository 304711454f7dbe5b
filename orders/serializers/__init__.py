"""Bodies of the orders API."""

from orders.serializers.catalogue import ProductChange, ProductListing, ProductShown
from orders.serializers.orders import (
    CancellationWanted,
    LineShown,
    OrderShown,
    OrderWanted,
    WantedLine,
)
from orders.serializers.overview import (
    OrderMessage,
    OrderOverview,
    OrderPayment,
    OrderStock,
    ShortageShown,
)

__all__ = [
    "CancellationWanted",
    "LineShown",
    "OrderMessage",
    "OrderOverview",
    "OrderPayment",
    "OrderShown",
    "OrderStock",
    "OrderWanted",
    "ProductChange",
    "ProductListing",
    "ProductShown",
    "ShortageShown",
    "WantedLine",
]
