"""Reservations: reserve, sell, release, lapse, pin."""

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

from eventbus import publish
from infra import clock
from infra.transactions import atomic
from inventory.conf import conf
from inventory.events import ReservationExpiryDue
from inventory.models import Movement, Reservation, StockItem, shortages
from inventory.services.movements import locked_items, save_movements

State, Kind = Reservation.State, Movement.Kind


@atomic
def reserve(order_id: UUID, goods: Mapping[str, int]) -> None:
    """Reserve all goods of an order, or none and publish the shortages."""
    reservation = _locked_reservation(order_id)
    if reservation.state == State.AWAITED:
        _reserve_or_reject(reservation, goods)


@atomic
def sell(order_id: UUID, goods: Mapping[str, int]) -> None:
    """Sell the goods of a paid order; if its reservation lapsed, try to reserve them again."""
    reservation = _locked_reservation(order_id)
    if reservation.can_reserve and not _reserve_or_reject(reservation, goods):
        return
    if reservation.state == State.RESERVED:
        _move(reservation, Kind.SOLD, on_hand=-1, reserved=-1)
        reservation.state = State.SOLD
        reservation.save()


@atomic
def release(order_id: UUID) -> None:
    """Release the goods of a cancelled order, or return them to stock if they were sold.

    If OrderPlaced has not arrived yet, the reservation is marked released and reserves nothing.
    """
    reservation = _locked_reservation(order_id)
    if reservation.state == State.RESERVED:
        _move(reservation, Kind.RELEASED, reserved=-1)
        publish(reservation.release(State.RELEASED, "cancelled"))
    elif reservation.state == State.SOLD:
        _move(reservation, Kind.RETURNED, on_hand=1)
        publish(reservation.release(State.RETURNED, "returned"))
    elif reservation.can_reserve:
        reservation.state = State.RELEASED
    _answer_pin_request(reservation)
    reservation.save()


@atomic
def lapse(order_id: UUID) -> None:
    """Release goods that were not paid in time; if they are pinned, check again when it ends."""
    reservation = _locked_reservation(order_id)
    now = clock.now()
    if reservation.overdue(now):
        _move(reservation, Kind.RELEASED, reserved=-1)
        publish(reservation.release(State.LAPSED, "lapsed"))
        reservation.save()
    elif reservation.state == State.RESERVED:
        until = max(filter(None, (reservation.expires_at, reservation.pinned_until)))
        publish(ReservationExpiryDue(order_id=order_id), due=until)


@atomic
def pin(order_id: UUID, payment_id: UUID, request_id: UUID) -> None:
    """Answer a pin request; before OrderPlaced has arrived, keep the request in the row.

    request_id: the id of the PinRequested event, which the answer names as its cause.
    """
    reservation = _locked_reservation(order_id)
    reservation.pin_payment_id, reservation.pin_request_id = payment_id, request_id
    if reservation.state != State.AWAITED:
        _answer_pin_request(reservation)
    reservation.save()


def _locked_reservation(order_id: UUID) -> Reservation:
    return Reservation.objects.select_for_update().get_or_create(order_id=order_id)[0]


def _reserve_or_reject(reservation: Reservation, goods: Mapping[str, int]) -> bool:
    items = locked_items(goods)
    missing = shortages(goods, items)
    if missing:
        publish(reservation.reject(missing))
    else:
        until = clock.now() + conf.RESERVATION
        publish(reservation.reserve(goods, until))
        publish(ReservationExpiryDue(order_id=reservation.order_id), due=until)
        _move(reservation, Kind.RESERVED, reserved=1, items=items)
        for sku, quantity in goods.items():
            event = items[sku].low_stock(quantity)
            if event:
                publish(event)
    _answer_pin_request(reservation)
    reservation.save()
    return not missing


def _answer_pin_request(reservation: Reservation) -> None:
    if reservation.pin_payment_id:
        until = clock.now() + conf.PIN
        publish(reservation.pin(until), answering=reservation.pin_request_id)


def _move(
    reservation: Reservation,
    kind: str,
    *,
    on_hand: int = 0,
    reserved: int = 0,
    items: dict[str, StockItem] | None = None,
) -> None:
    """Move all goods of a reservation; `on_hand` and `reserved` are factors: -1, 0 or 1."""
    items = items or locked_items(reservation.goods)
    movements = [
        items[sku].move(kind, on_hand=on_hand * quantity, reserved=reserved * quantity)
        for sku, quantity in reservation.goods.items()
    ]
    save_movements(movements, items, reservation.order_id)


def total_quantities(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the quantity of each sku, with lines of the same sku added up."""
    total: Counter[str] = Counter()
    for sku, quantity in lines:
        total[sku] += quantity
    return dict(total)
