"""Copies of quantities by sku, invalidated by each movement."""

from collections.abc import Sequence
from typing import Any

from infra.caching import CacheAside
from inventory.models import StockItem


def _quantities(skus: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        item.sku: {
            "sku": item.sku,
            "on_hand": item.on_hand,
            "reserved": item.reserved,
            "available": item.available,
            "low_stock_threshold": item.low_stock_threshold,
        }
        for item in StockItem.objects.filter(pk__in=skus)
    }


quantities = CacheAside("stock", _quantities, ttl=15)
