"""What orders does. Each function is one transaction: the change and its news, or neither."""

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
from orders.models import Heard, Order, OrderLine, Product, Shelf, lines_of

MOST = Decimal("999999999999.99")  # what the column for a total holds


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a customer asks for; `unit_price` only where an operator says so."""

    sku: str
    quantity: int
    unit_price: Decimal | None = None


@transaction.atomic
def place_order(
    customer_id: UUID,
    wanted: Sequence[Wanted],
    country: str,
    *,
    placed_at: dt.datetime | None = None,
    order_id: UUID | None = None,
) -> Order:
    """Take the order down; others will see to the goods and the money.

    An import gives the order the date and the id it has in the other books. Raises a refusal of
    `errors`: TooManyOpen among them, but not for an import, as history keeps goods from nobody.
    """
    if placed_at is None:
        if not conf.OPEN:
            raise errors.Closed
        _see_that_few_are_open(customer_id)
    products = _for_sale(wanted)
    lines = [_line(at, line, products[line.sku]) for at, line in enumerate(wanted)]
    total = sum((line.amount for line in lines), Decimal())
    if total > MOST:
        raise errors.TooDear(most=MOST)
    order = Order.objects.create(
        id=order_id or new_id(),
        customer_id=customer_id,
        country=country,
        currency=products[wanted[0].sku].currency,
        total=total,
        placed_at=placed_at or timezone.now(),
    )
    for line in lines:
        line.order = order
    order.keep(OrderLine.objects.bulk_create(lines))
    publish(order.placed([line.fact() for line in lines]), version=order.version)
    return order


def _see_that_few_are_open(customer_id: UUID) -> None:
    locks.hold([f"orders of {customer_id}"])  # or two at once would both be the last
    most = conf.MOST_OPEN
    if Order.objects.filter(customer_id=customer_id, status__in=Order.OPEN).count() >= most:
        raise errors.TooManyOpen(most=most)


def _for_sale(wanted: Sequence[Wanted]) -> dict[str, Product]:
    if not wanted:
        raise errors.EmptyOrder
    products = Product.objects.in_bulk({line.sku for line in wanted})
    for at, line in enumerate(wanted):
        if line.sku not in products:
            raise errors.UnknownProduct(sku=line.sku, field=f"lines[{at}].sku")
        if not products[line.sku].active:
            raise errors.NotForSale(sku=line.sku, field=f"lines[{at}].sku")
    currencies = sorted({product.currency for product in products.values()})
    if len(currencies) > 1:
        raise errors.TwoCurrencies(currencies=" and ".join(currencies))
    return products


def _line(at: int, line: Wanted, product: Product) -> OrderLine:
    return OrderLine(
        position=at,
        sku=line.sku,
        name=product.name,
        quantity=line.quantity,
        unit_price=product.unit_price if line.unit_price is None else line.unit_price,
    )


def note_reserved(order_id: UUID) -> None:
    """Know that the goods are set aside."""
    _change(order_id, lambda order: order.reserve())


def pay_order(order_id: UUID, at: dt.datetime) -> None:
    """Know that the money is there."""
    _change(order_id, lambda order: order.pay(lines_of(order_id), at))


def lapse_order(order_id: UUID) -> None:
    """Give up an order whose goods were not paid in time."""
    _change(order_id, lambda order: order.lapse(timezone.now()))


def cancel_order(order_id: UUID, code: str, reason: str) -> None:
    """Call the sale off; nothing happens where it is off already."""
    _change(order_id, lambda order: order.cancel(code, reason, timezone.now()))


def withdraw_order(order_id: UUID, code: str, reason: str) -> None:
    """Call the sale off because somebody asks. Raises AlreadyCancelled."""

    def decide(order: Order) -> Event:
        was = order.reason
        fact = order.cancel(code, reason, timezone.now())
        if fact is None:
            raise errors.AlreadyCancelled(reason=was)
        return fact

    _change(order_id, decide)


@transaction.atomic
def _change(order_id: UUID, decide: Callable[[Order], Event | None]) -> None:
    order = Order.objects.select_for_update().get(pk=order_id)
    status, happened = order.status, decide(order)
    if order.status != status:
        order.version += 1
        order.save()
    if happened:
        publish(happened, version=order.version)


@transaction.atomic
def note(
    order_id: UUID, part: Heard.Part, about: UUID, told_at: dt.datetime, **says: object
) -> None:
    """Keep what another context says of an order, unless it has said something later."""
    plain = msgspec.to_builtins(says)
    known = {"order_id": order_id, "says": plain, "told_at": told_at}
    heard, new = Heard.objects.get_or_create(part=part, about=about, defaults=known)
    if not new and heard.told_at < told_at:
        heard.says, heard.told_at = plain, told_at
        heard.save()


@transaction.atomic
def list_product(
    sku: str, name: str, unit_price: Decimal, currency: str, description: str = ""
) -> Product:
    """Put a product on sale. Raises AlreadyListed."""
    product, new = Product.objects.get_or_create(
        sku=sku,
        defaults={
            "name": name,
            "description": description,
            "unit_price": unit_price,
            "currency": currency,
        },
    )
    if not new:
        raise errors.AlreadyListed(sku=sku)
    publish(product.listed())
    cache.forget_product(sku)
    return product


def reprice_product(sku: str, unit_price: Decimal) -> Product:
    """Give a product another price; orders placed before keep theirs."""
    return _change_product(sku, lambda product: product.reprice(unit_price))


def retire_product(sku: str) -> Product:
    """Take a product off sale."""
    return _change_product(sku, lambda product: product.retire())


@transaction.atomic
def _change_product(sku: str, decide: Callable[[Product], Event | None]) -> Product:
    product = Product.objects.select_for_update().get(pk=sku)
    happened = decide(product)
    if happened:
        product.save()
        publish(happened)
        cache.forget_product(sku)
    return product


def note_view(sku: str) -> None:
    """Count that somebody looked at a product; the table hears of it some seconds later."""
    cache.views.add(sku)


@transaction.atomic
def move_goods(changes: Mapping[str, int]) -> None:
    """Add to what can be had of each product: sums do not mind the order of arrival."""
    known = set(Shelf.objects.filter(pk__in=changes).values_list("pk", flat=True))
    Shelf.objects.bulk_create(
        [Shelf(sku=sku) for sku in sorted(set(changes) - known)], ignore_conflicts=True
    )
    for sku, pieces in sorted(changes.items()):
        Shelf.objects.filter(pk=sku).update(available=F("available") + pieces)
    cache.shelves.invalidate(*changes)
