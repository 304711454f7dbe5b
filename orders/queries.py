"""What orders answers."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from orders import cache
from orders.models import Heard, Order, Product, Shelf


class Catalogue:
    """What is for sale, the most looked-at first, with how many can be had; from the cache."""

    def count(self) -> int:
        """How many products are for sale."""
        return cache.pages.get(cache.COUNT) or 0

    def __getitem__(self, part: slice) -> list[dict[str, Any]]:
        return _with_shelves(cache.pages.get(f"{part.start}-{part.stop}") or [])


def one_product(sku: str) -> dict[str, Any] | None:
    """A product with how many can be had, from the cache; None where there never was one."""
    product = cache.products.get(sku)
    return _with_shelves([product])[0] if product else None


def _with_shelves(products: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    available = cache.shelves.get_many(product["sku"] for product in products)
    return [{**product, "available": available[product["sku"]] or 0} for product in products]


def products() -> QuerySet[Product]:
    """All products ever listed, with how many can be had."""
    shelf = Shelf.objects.filter(pk=OuterRef("sku")).values("available")
    available = Coalesce(Subquery(shelf), Value(0), output_field=IntegerField())
    return Product.objects.annotate(available=available)


def orders_of(customer_id: UUID) -> QuerySet[Order]:
    """A customer's orders, the latest first."""
    return all_orders().filter(customer_id=customer_id)


def all_orders() -> QuerySet[Order]:
    """Everybody's orders, the latest first, with their lines."""
    return Order.objects.prefetch_related("lines").order_by("-placed_at", "-id")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What other contexts say of an order; `heard_at` is when the last of it was said."""

    stock: dict[str, Any] | None
    payments: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    heard_at: dt.datetime | None


def told_of(order_id: UUID) -> Told:
    """What other contexts have said of an order, as far as it has been heard here."""
    heard = list(Heard.objects.filter(order_id=order_id).order_by("told_at", "pk"))
    parts = {
        part: [{**h.says, "id": h.about, "told_at": h.told_at} for h in heard if h.part == part]
        for part in Heard.Part
    }
    return Told(
        stock=next(iter(parts[Heard.Part.STOCK]), None),
        payments=parts[Heard.Part.PAYMENT],
        messages=parts[Heard.Part.MESSAGE],
        heard_at=heard[-1].told_at if heard else None,
    )
