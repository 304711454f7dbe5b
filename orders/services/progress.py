"""Changes of an order after it was placed: reserved, paid, cancelled."""

import datetime as dt
from collections.abc import Callable
from uuid import UUID

from django.utils import timezone

from eventbus import Event, publish
from infra.transactions import atomic
from orders import errors
from orders.models import (
    Order,
    event_lines,
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


@atomic
def _change_order(order_id: UUID, decide: Callable[[Order], Event | None]) -> None:
    order = Order.objects.select_for_update().get(pk=order_id)
    status, event = order.status, decide(order)
    if event:
        order.version += 1  # counts events, so that an order's stream has no holes
    if event or order.status != status:
        order.save()
    if event:
        publish(event, version=order.version)
