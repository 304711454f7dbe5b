"""Saving of movements together with the quantities that they change."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from eventbus import origin
from infra import locks
from inventory import cache
from inventory.models import Movement, StockItem


def hold(skus: Iterable[str]) -> None:
    """Take the locks that deliveries take for these goods (`key=`), until the transaction ends.

    For a transaction that moves several goods one after another: a batch of deliveries moves them
    in the order of its events, and locks the rows in that order.
    """
    locks.acquire(f"inventory/{sku}" for sku in skus)


def locked_items(skus: Iterable[str]) -> dict[str, StockItem]:
    """Return stock items locked in the order of sku, so that transactions do not deadlock."""
    rows = StockItem.objects.select_for_update().filter(pk__in=list(skus)).order_by("sku")
    return {item.sku: item for item in rows}


def save_movements(
    movements: list[Movement], items: Mapping[str, StockItem], order_id: UUID | None = None
) -> list[Movement]:
    """Save changed quantities and their movements, with the event or request that caused them."""
    source = origin()
    for movement in movements:
        movement.order_id, movement.cause, movement.actor = order_id, source.cause, source.actor
    StockItem.objects.bulk_update(items.values(), ["on_hand", "reserved"], batch_size=500)
    cache.quantities.invalidate(*items)
    return Movement.objects.bulk_create(movements)
