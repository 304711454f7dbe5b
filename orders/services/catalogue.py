"""Products: listing, price, retirement, views, availability."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from django.db.models import F

from eventbus import Event, publish
from infra.transactions import atomic
from orders import cache, errors
from orders.models import (
    Availability,
    Product,
)


@atomic
def list_product(
    sku: str, name: str, unit_price: Decimal, currency: str, description: str = ""
) -> Product:
    """Put a product on sale. Raises AlreadyListed."""
    product, created = Product.objects.get_or_create(
        sku=sku,
        defaults={
            "name": name,
            "description": description,
            "unit_price": unit_price,
            "currency": currency,
        },
    )
    if not created:
        raise errors.AlreadyListed(sku=sku)
    publish(product.listed())
    cache.invalidate_product(sku)
    return product


def reprice_product(sku: str, unit_price: Decimal) -> Product:
    """Change the price of a product; orders placed before keep their price."""
    return _change_product(sku, lambda product: product.reprice(unit_price))


def retire_product(sku: str) -> Product:
    """Take a product off sale."""
    return _change_product(sku, lambda product: product.retire())


@atomic
def _change_product(sku: str, decide: Callable[[Product], Event | None]) -> Product:
    product = Product.objects.select_for_update().get(pk=sku)
    event = decide(product)
    if event:
        product.save()
        publish(event)
        cache.invalidate_product(sku)
    return product


def count_view(sku: str) -> None:
    """Count a view of a product; the table is updated some seconds later, in batches."""
    cache.views.add(sku)


@atomic
def change_availability(changes: Mapping[str, int]) -> None:
    """Add to the availability of products. Sums do not depend on the order of events."""
    known = set(Availability.objects.filter(pk__in=changes).values_list("pk", flat=True))
    Availability.objects.bulk_create(
        [Availability(sku=sku) for sku in sorted(set(changes) - known)], ignore_conflicts=True
    )
    for sku, quantity in sorted(changes.items()):
        Availability.objects.filter(pk=sku).update(available=F("available") + quantity)
    cache.availability.invalidate(*changes)
