"""What inventory answers."""

from typing import Any

from django.db.models import QuerySet

from inventory import cache
from inventory.models import Movement, StockItem


def stock() -> QuerySet[StockItem]:
    """All shelves, by sku."""
    return StockItem.objects.order_by("sku")


def one_stock(sku: str) -> dict[str, Any] | None:
    """One shelf's quantities, from the cache; None where no shelf is kept."""
    return cache.quantities.get(sku)


def movements_of(sku: str) -> QuerySet[Movement]:
    """The ledger of one product, the latest first."""
    return Movement.objects.filter(sku=sku).order_by("-id")
