"""What orders keeps at hand: the catalogue and what can be had of it, until news says otherwise."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F

from infra.caching import CacheAside, WriteBehind
from orders.models import Product, Shelf

COUNT = "count"
SHOWN = ("sku", "name", "description", "unit_price", "currency", "active")


def _products(skus: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {row["sku"]: row for row in Product.objects.filter(pk__in=skus).values(*SHOWN)}


def _shelves(skus: Sequence[str]) -> dict[str, int]:
    return dict(Shelf.objects.filter(pk__in=skus).values_list("sku", "available"))


def _pages(names: Sequence[str]) -> dict[str, Any]:
    return {name: _page(name) for name in names}


def _page(name: str) -> Any:
    on_sale = Product.objects.filter(active=True).order_by("-views", "sku")
    if name == COUNT:
        return on_sale.count()
    first, last = map(int, name.split("-"))
    return list(on_sale.values(*SHOWN)[first:last])


@transaction.atomic
def _add_views(counts: Mapping[str, int]) -> None:
    for sku, looks in sorted(counts.items()):  # in one order: batches do not block each other
        Product.objects.filter(pk=sku).update(views=F("views") + looks)


products = CacheAside("products", _products, ttl=60)
shelves = CacheAside("shelves", _shelves, ttl=15)
pages = CacheAside("catalogue", _pages, ttl=60, as_one=True)  # by `first-last`, and COUNT
views = WriteBehind("views", _add_views)


def forget_product(sku: str) -> None:
    """Forget a product, and the pages it may be on."""
    products.invalidate(sku)
    pages.invalidate()
