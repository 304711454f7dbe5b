"""Placing an order."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.utils import timezone

from eventbus import publish
from infra import locks
from infra.ids import new_id
from infra.transactions import atomic
from orders import errors
from orders.conf import conf
from orders.models import (
    Order,
    OrderLine,
    Product,
)

MAX_TOTAL = Decimal("999999999999.99")  # the column's limit


@dataclass(frozen=True, kw_only=True)
class RequestedLine:
    """A requested line; `unit_price` overrides the list price (imports only)."""

    sku: str
    quantity: int
    unit_price: Decimal | None = None


@atomic
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
    locks.acquire([f"orders of {customer_id}"])
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
