"""Stock items and replenishments."""

from eventbus import publish
from infra.transactions import atomic
from inventory import cache, errors
from inventory.conf import conf
from inventory.events import StockReplenished
from inventory.models import MAX_QUANTITY, Movement, StockItem
from inventory.services.movements import save_movements


def add_stock_item(sku: str, low_stock_threshold: int | None = None) -> None:
    """Start to keep stock of a product; a second call changes nothing."""
    threshold = conf.LOW if low_stock_threshold is None else low_stock_threshold
    StockItem.objects.get_or_create(sku=sku, defaults={"low_stock_threshold": threshold})
    cache.quantities.invalidate(sku)


@atomic
def replenish(sku: str, quantity: int) -> Movement:
    """Add pieces to the stock of a product. Raises UnknownSku, TooMany."""
    item = StockItem.objects.select_for_update().filter(pk=sku).first()
    if item is None:
        raise errors.UnknownSku(sku=sku)
    if item.on_hand + quantity > MAX_QUANTITY:
        raise errors.TooMany(limit=MAX_QUANTITY)
    (movement,) = save_movements(
        [item.move(Movement.Kind.REPLENISHED, on_hand=quantity)], {sku: item}
    )
    publish(StockReplenished(sku=sku, quantity=quantity))
    return movement
