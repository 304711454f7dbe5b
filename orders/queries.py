"""What orders answers."""

from uuid import UUID

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from orders.models import Order, Product, Shelf


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
