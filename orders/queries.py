"""What orders answers."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from orders.models import Heard, Order, Product, Shelf


def catalogue() -> QuerySet[Product]:
    """What is for sale, the most looked-at first, with how many can be had."""
    return products().filter(active=True).order_by("-views", "sku")


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
    """What other rooms say of an order; `heard_at` is when the last of it was said."""

    stock: dict[str, Any] | None
    payments: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    heard_at: dt.datetime | None


def told_of(order_id: UUID) -> Told:
    """What other rooms have said of an order, as far as it has been heard here."""
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
