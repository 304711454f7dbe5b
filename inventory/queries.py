"""What inventory answers."""

from django.db.models import QuerySet

from inventory.models import Movement, StockItem


def stock() -> QuerySet[StockItem]:
    """All shelves, by sku."""
    return StockItem.objects.order_by("sku")


def movements_of(sku: str) -> QuerySet[Movement]:
    """The ledger of one product, the latest first."""
    return Movement.objects.filter(sku=sku).order_by("-id")
