"""What inventory does. Each function is one transaction; goods are locked in the order of sku."""

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db import transaction

from eventbus import origin, publish
from infra import clock
from inventory import cache, errors
from inventory.conf import conf
from inventory.events import ReservationExpiryDue, StockReplenished
from inventory.models import MOST, Movement, Reservation, StockItem, shortages

State, Kind = Reservation.State, Movement.Kind


def open_shelf(sku: str, low_at: int | None = None) -> None:
    """Keep stock of a product from now on; nothing happens where it is kept already."""
    low = conf.LOW if low_at is None else low_at
    StockItem.objects.get_or_create(sku=sku, defaults={"low_at": low})
    cache.quantities.invalidate(sku)


@transaction.atomic
def replenish(sku: str, quantity: int) -> Movement:
    """Put pieces on the shelf. Raises UnknownSku, TooMany."""
    item = StockItem.objects.select_for_update().filter(pk=sku).first()
    if item is None:
        raise errors.UnknownSku(sku=sku)
    if item.on_hand + quantity > MOST:
        raise errors.TooMany(most=MOST)
    (movement,) = _write([item.move(Kind.REPLENISHED, on_hand=quantity)], {sku: item})
    publish(StockReplenished(sku=sku, quantity=quantity))
    return movement


@transaction.atomic
def reserve(order_id: UUID, goods: Mapping[str, int]) -> None:
    """Set aside all goods of an order, or none and say which are missing."""
    reservation = _reservation(order_id)
    if reservation.state == State.AWAITED:
        _try(reservation, goods)


@transaction.atomic
def sell(order_id: UUID, goods: Mapping[str, int]) -> None:
    """Let a paid order have its goods; where they lapsed meanwhile, try to set them aside again."""
    reservation = _reservation(order_id)
    if reservation.may_be_made and not _try(reservation, goods):
        return
    if reservation.state == State.RESERVED:
        _move(reservation, Kind.SOLD, on_hand=-1, reserved=-1)
        reservation.state = State.SOLD
        reservation.save()


@transaction.atomic
def release(order_id: UUID) -> None:
    """Give back what an order holds or had; an order not heard of yet will hold nothing."""
    reservation = _reservation(order_id)
    if reservation.state == State.RESERVED:
        _move(reservation, Kind.RELEASED, reserved=-1)
        publish(reservation.let_go(State.RELEASED, "cancelled"))
    elif reservation.state == State.SOLD:
        _move(reservation, Kind.RETURNED, on_hand=1)
        publish(reservation.let_go(State.RETURNED, "returned"))
    elif reservation.may_be_made:
        reservation.state = State.RELEASED
    _answer(reservation)
    reservation.save()


@transaction.atomic
def lapse(order_id: UUID) -> None:
    """Let go of goods not paid in time; while a pin holds them, ask again when it ends."""
    reservation = _reservation(order_id)
    now = clock.now()
    if reservation.overdue(now):
        _move(reservation, Kind.RELEASED, reserved=-1)
        publish(reservation.let_go(State.LAPSED, "lapsed"))
        reservation.save()
    elif reservation.state == State.RESERVED:
        until = max(filter(None, (reservation.expires_at, reservation.pinned_until)))
        publish(ReservationExpiryDue(order_id=order_id), due=until)


@transaction.atomic
def pin(order_id: UUID, payment_id: UUID, question: UUID) -> None:
    """Promise that goods stay while their money is taken; wait for an order not heard of yet."""
    reservation = _reservation(order_id)
    reservation.asked_by, reservation.question = payment_id, question
    if reservation.state != State.AWAITED:
        _answer(reservation)
    reservation.save()


def _reservation(order_id: UUID) -> Reservation:
    return Reservation.objects.select_for_update().get_or_create(order_id=order_id)[0]


def _try(reservation: Reservation, goods: Mapping[str, int]) -> bool:
    items = _locked(goods)
    missing = shortages(goods, items)
    if missing:
        publish(reservation.reject(missing))
    else:
        until = clock.now() + conf.RESERVATION
        publish(reservation.reserve(goods, until))
        publish(ReservationExpiryDue(order_id=reservation.order_id), due=until)
        _move(reservation, Kind.RESERVED, reserved=1, items=items)
        for sku, pieces in goods.items():
            low = items[sku].fell_low(pieces)
            if low:
                publish(low)
    _answer(reservation)
    reservation.save()
    return not missing


def _answer(reservation: Reservation) -> None:
    if reservation.asked_by:
        until = clock.now() + conf.PIN
        publish(reservation.pin(until), answering=reservation.question)


def _locked(skus: Iterable[str]) -> dict[str, StockItem]:
    rows = StockItem.objects.select_for_update().filter(pk__in=list(skus)).order_by("sku")
    return {item.sku: item for item in rows}


def _move(
    reservation: Reservation,
    kind: str,
    *,
    on_hand: int = 0,
    reserved: int = 0,
    items: dict[str, StockItem] | None = None,
) -> None:
    items = items or _locked(reservation.goods)
    moves = [
        items[sku].move(kind, on_hand=on_hand * pieces, reserved=reserved * pieces)
        for sku, pieces in reservation.goods.items()
    ]
    _write(moves, items, reservation.order_id)


def _write(
    moves: list[Movement], items: Mapping[str, StockItem], order_id: UUID | None = None
) -> list[Movement]:
    here = origin()
    for move in moves:
        move.order_id, move.cause, move.actor = order_id, here.cause, here.actor
    StockItem.objects.bulk_update(items.values(), ["on_hand", "reserved"], batch_size=500)
    cache.quantities.invalidate(*items)
    return Movement.objects.bulk_create(moves)


def pieces(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Add up lines of the same product."""
    total: Counter[str] = Counter()
    for sku, quantity in lines:
        total[sku] += quantity
    return dict(total)
