"""Reads of orders: the catalogue from the cache, orders, and the overview of an order."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from orders import cache
from orders.models import Availability, Order, OrderActivity, Product

# --- catalogue ----------------------------------------------------------------------------------


class Catalogue:
    """Products for sale, the most viewed first, with their availability; from the cache.

    Has `count` and slices, which is all that DRF's pagination asks of a queryset.
    """

    def count(self) -> int:
        return cache.pages.get(cache.COUNT) or 0

    def __getitem__(self, part: slice) -> list[dict[str, Any]]:
        return _with_availability(cache.pages.get(f"{part.start}-{part.stop}") or [])


def cached_product(sku: str) -> dict[str, Any] | None:
    """Return a product with its availability, from the cache; None if it was never listed."""
    product = cache.products.get(sku)
    return _with_availability([product])[0] if product else None


def _with_availability(products: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    available = cache.availability.get_many(product["sku"] for product in products)
    return [{**product, "available": available[product["sku"]] or 0} for product in products]


def products() -> QuerySet[Product]:
    """Return all products ever listed, with their availability."""
    availability = Availability.objects.filter(pk=OuterRef("sku")).values("available")
    available = Coalesce(Subquery(availability), Value(0), output_field=IntegerField())
    return Product.objects.annotate(available=available)


# --- orders -------------------------------------------------------------------------------------


def orders_of(customer_id: UUID) -> QuerySet[Order]:
    """Return the orders of a customer, the latest first."""
    return all_orders().filter(customer_id=customer_id)


def all_orders() -> QuerySet[Order]:
    """Return all orders with their lines, the latest first."""
    return Order.objects.prefetch_related("lines").order_by("-placed_at", "-id")


@dataclass(frozen=True, kw_only=True)
class OrderOverview:
    """The latest events of other contexts about an order."""

    stock: dict[str, Any] | None
    payments: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    latest_activity_at: dt.datetime | None


def overview_of(order_id: UUID) -> OrderOverview:
    """Return the stock, payments and messages of an order, as far as their events were handled."""
    activities = list(OrderActivity.objects.filter(order_id=order_id).order_by("recorded_at", "pk"))
    parts = {
        part: [
            {**activity.details, "id": activity.subject_id, "recorded_at": activity.recorded_at}
            for activity in activities
            if activity.part == part
        ]
        for part in OrderActivity.Part
    }
    return OrderOverview(
        stock=next(iter(parts[OrderActivity.Part.STOCK]), None),
        payments=parts[OrderActivity.Part.PAYMENT],
        messages=parts[OrderActivity.Part.MESSAGE],
        latest_activity_at=activities[-1].recorded_at if activities else None,
    )
