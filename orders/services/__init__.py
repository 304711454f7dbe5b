"""Services of orders. Each function is one transaction: the change and its event."""

from orders.services.activity import record_activity
from orders.services.catalogue import (
    change_availability,
    count_view,
    list_product,
    reprice_product,
    retire_product,
)
from orders.services.placing import RequestedLine, place_order
from orders.services.progress import (
    cancel_on_request,
    cancel_order,
    lapse_order,
    mark_reserved,
    pay_order,
)

__all__ = [
    "RequestedLine",
    "cancel_on_request",
    "cancel_order",
    "change_availability",
    "count_view",
    "lapse_order",
    "list_product",
    "mark_reserved",
    "pay_order",
    "place_order",
    "record_activity",
    "reprice_product",
    "retire_product",
]
