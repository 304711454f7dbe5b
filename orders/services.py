"""Changes of orders and products. Each function is one transaction: the change and its event."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from eventbus import Event, publish
from infra import locks
from infra.ids import new_id
from orders import cache, errors
from orders.conf import conf
from orders.models import (
    Availability,
    Order,
    OrderActivity,
    OrderLine,
    Product,
    event_lines,
)

MAX_TOTAL = Decimal("999999999999.99")  # the column's limit

# --- orders -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RequestedLine:
    """A requested line; `unit_price` overrides the list price (imports only)."""

    sku: str
    quantity: int
    unit_price: Decimal | None = None


@transaction.atomic
def place_order(
    customer_id: UUID,
    lines: Sequence[RequestedLine],
    country: str,
    *,
    placed_at: dt.datetime | None = None,
    order_id: UUID | None = None,
) -> Order:
    """Save an order and publish OrderPlaced; inventory and payments react to it.

    placed_at, order_id: for an import, which keeps the date and the id of the order. An import is
    not held to the limit of open orders, since past orders reserve nothing from others.

    Raises a refusal of `errors`.
    """
    if placed_at is None:
        if not conf.OPEN:
            raise errors.Closed
        _check_open_orders(customer_id)
    products = _products_for_sale(lines)
    order_lines = [_order_line(at, line, products[line.sku]) for at, line in enumerate(lines)]
    total = sum((line.amount for line in order_lines), Decimal())
    if total > MAX_TOTAL:
        raise errors.TooDear(limit=MAX_TOTAL)
    order = Order.objects.create(
        id=order_id or new_id(),
        customer_id=customer_id,
        country=country,
        currency=products[lines[0].sku].currency,
        total=total,
        placed_at=placed_at or timezone.now(),
    )
    for line in order_lines:
        line.order = order
    order.prefetched(OrderLine.objects.bulk_create(order_lines))
    publish(order.placed([line.as_event() for line in order_lines]), version=order.version)
    return order


def _check_open_orders(customer_id: UUID) -> None:
    # Locked: two concurrent requests would both count one order fewer than the limit.
    locks.hold([f"orders of {customer_id}"])
    limit = conf.MOST_OPEN
    if Order.objects.filter(customer_id=customer_id, status__in=Order.OPEN).count() >= limit:
        raise errors.TooManyOpen(limit=limit)


def _products_for_sale(lines: Sequence[RequestedLine]) -> dict[str, Product]:
    if not lines:
        raise errors.EmptyOrder
    products = Product.objects.in_bulk({line.sku for line in lines})
    for at, line in enumerate(lines):
        if line.sku not in products:
            raise errors.UnknownProduct(sku=line.sku, field=f"lines[{at}].sku")
        if not products[line.sku].active:
            raise errors.NotForSale(sku=line.sku, field=f"lines[{at}].sku")
    currencies = sorted({product.currency for product in products.values()})
    if len(currencies) > 1:
        raise errors.TwoCurrencies(currencies=" and ".join(currencies))
    return products


def _order_line(at: int, line: RequestedLine, product: Product) -> OrderLine:
    return OrderLine(
        position=at,
        sku=line.sku,
        name=product.name,
        quantity=line.quantity,
        unit_price=product.unit_price if line.unit_price is None else line.unit_price,
    )


def mark_reserved(order_id: UUID) -> None:
    """Mark an order reserved, if it is still only placed."""
    _change_order(order_id, lambda order: order.reserve())


def pay_order(order_id: UUID, at: dt.datetime) -> None:
    """Mark an open order paid; a payment for a cancelled order changes nothing."""
    _change_order(order_id, lambda order: order.pay(event_lines(order_id), at))


def lapse_order(order_id: UUID) -> None:
    """Cancel an order that was not paid in time."""
    _change_order(order_id, lambda order: order.lapse(timezone.now()))


def cancel_order(order_id: UUID, code: str, reason: str) -> None:
    """Cancel an order because of an event; a second cancellation changes nothing."""
    _change_order(order_id, lambda order: order.cancel(code, reason, timezone.now()))


def cancel_on_request(order_id: UUID, code: str, reason: str) -> None:
    """Cancel an order because its customer or an operator asks. Raises AlreadyCancelled."""

    def decide(order: Order) -> Event:
        first_reason = order.reason
        event = order.cancel(code, reason, timezone.now())
        if event is None:
            raise errors.AlreadyCancelled(reason=first_reason)
        return event

    _change_order(order_id, decide)


@transaction.atomic
def _change_order(order_id: UUID, decide: Callable[[Order], Event | None]) -> None:
    order = Order.objects.select_for_update().get(pk=order_id)
    status, event = order.status, decide(order)
    if order.status != status:
        order.version += 1
        order.save()
    if event:
        publish(event, version=order.version)


@transaction.atomic
def record_activity(
    order_id: UUID,
    part: OrderActivity.Part,
    subject_id: UUID,
    recorded_at: dt.datetime,
    details: Mapping[str, object],
) -> None:
    """Keep an event of another context about an order, unless a later one is kept already."""
    values = {
        "order_id": order_id,
        "details": msgspec.to_builtins(details),
        "recorded_at": recorded_at,
    }
    activity, created = OrderActivity.objects.get_or_create(
        part=part, subject_id=subject_id, defaults=values
    )
    if not created and activity.recorded_at < recorded_at:
        activity.details, activity.recorded_at = values["details"], recorded_at
        activity.save()


# --- catalogue ----------------------------------------------------------------------------------


@transaction.atomic
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


@transaction.atomic
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


@transaction.atomic
def change_availability(changes: Mapping[str, int]) -> None:
    """Add to the availability of products. Sums do not depend on the order of events."""
    known = set(Availability.objects.filter(pk__in=changes).values_list("pk", flat=True))
    Availability.objects.bulk_create(
        [Availability(sku=sku) for sku in sorted(set(changes) - known)], ignore_conflicts=True
    )
    for sku, quantity in sorted(changes.items()):
        Availability.objects.filter(pk=sku).update(available=F("available") + quantity)
    cache.availability.invalidate(*changes)
