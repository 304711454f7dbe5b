"""Reads of stock and movements."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from inventory import cache
from inventory.models import Movement, Reservation, StockItem


def stock() -> QuerySet[StockItem]:
    """Return all stock items, by sku."""
    return StockItem.objects.order_by("sku")


def cached_stock(sku: str) -> dict[str, Any] | None:
    """Return the quantities of a product, from the cache; None if no stock of it is kept."""
    return cache.quantities.get(sku)


def movements_of(sku: str) -> QuerySet[Movement]:
    """Return the movements of a product, the latest first."""
    return Movement.objects.filter(sku=sku).order_by("-id")


def skus_held_for(order_id: UUID) -> list[str]:
    """Return the goods that a release of this order's reservation would move."""
    states = (Reservation.State.RESERVED, Reservation.State.SOLD)
    held = Reservation.objects.filter(order_id=order_id, state__in=states)
    return [sku for goods in held.values_list("goods", flat=True) for sku in goods]
