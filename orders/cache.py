"""Copies of the catalogue and of availability, kept until an event or a change ends them."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import F

from infra.caching import CacheAside, WriteBehind
from infra.transactions import atomic
from orders.models import Availability, Product

COUNT = "count"
COLUMNS = ("sku", "name", "description", "unit_price", "currency", "active")


def _products(skus: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {row["sku"]: row for row in Product.objects.filter(pk__in=skus).values(*COLUMNS)}


def _availability(skus: Sequence[str]) -> dict[str, int]:
    return dict(Availability.objects.filter(pk__in=skus).values_list("sku", "available"))


def _pages(names: Sequence[str]) -> dict[str, Any]:
    return {name: _page(name) for name in names}


def _page(name: str) -> Any:
    on_sale = Product.objects.filter(active=True).order_by("-views", "sku")
    if name == COUNT:
        return on_sale.count()
    first, last = map(int, name.split("-"))
    return list(on_sale.values(*COLUMNS)[first:last])


@atomic
def _add_views(counts: Mapping[str, int]) -> None:
    for sku, views in sorted(counts.items()):  # in one order: batches do not block each other
        Product.objects.filter(pk=sku).update(views=F("views") + views)


products = CacheAside("products", _products, ttl=60)
availability = CacheAside("availability", _availability, ttl=15)
pages = CacheAside("catalogue", _pages, ttl=60, as_one=True)  # by `first-last`, and COUNT
views = WriteBehind("views", _add_views)


def invalidate_product(sku: str) -> None:
    """Forget a product, and the pages it may be on."""
    products.invalidate(sku)
    pages.invalidate()
