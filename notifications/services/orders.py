"""Messages about orders, and the reminder to pay."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventbus import publish
from infra import clock
from infra.transactions import atomic
from notifications.conf import conf
from notifications.events import PaymentReminderDue
from notifications.models import Message, OrderNote
from notifications.services.messages import find_contact, write

Kind = Message.Kind


@dataclass(frozen=True, kw_only=True)
class Line:
    """The fields of an order line that appear in messages."""

    name: str
    quantity: int
    unit_price: Decimal


@atomic
def confirm_order(
    order_id: UUID, customer_id: UUID, lines: Sequence[Line], total: Decimal, currency: str
) -> None:
    """Confirm to the customer that the order was received."""
    _update(order_id, customer_id=customer_id, total=total, currency=currency)
    values = {"lines": lines, "total": total, "currency": currency}
    write(Kind.ORDER_RECEIVED, order_id, customer_id, **values)


@atomic
def send_invoice(
    order_id: UUID,
    customer_id: UUID,
    lines: Sequence[Line],
    total: Decimal,
    currency: str,
    paid_at: dt.datetime,
) -> None:
    """Write the invoice as an e-mail, and a short thank-you as a push message."""
    _update(order_id, OrderNote.State.PAID)
    values = {"lines": lines, "total": total, "currency": currency, "at": paid_at}
    write(Kind.INVOICE, order_id, customer_id, **values)
    write(Kind.ORDER_PAID_PUSH, order_id, customer_id, total=total, currency=currency)


@atomic
def explain_cancellation(
    order_id: UUID, customer_id: UUID, code: str, reason: str, was_paid: bool
) -> None:
    """Write to the customer that the order is cancelled, with the reason."""
    _update(order_id, OrderNote.State.CANCELLED)
    values = {"code": code, "reason": reason, "was_paid": was_paid}
    write(Kind.CANCELLED, order_id, customer_id, **values)


@atomic
def schedule_reminder(order_id: UUID, expires_at: dt.datetime) -> None:
    """Schedule the payment reminder, some time before the reservation lapses."""
    note = _update(order_id, expires_at=expires_at)
    if note.state == OrderNote.State.PLACED:
        publish(PaymentReminderDue(order_id=order_id), due=expires_at - conf.REMIND_BEFORE)


@atomic
def remind_to_pay(order_id: UUID) -> None:
    """Write the reminder, if the order can still be paid and a phone number is known by now."""
    note = OrderNote.objects.get(pk=order_id)
    contact = find_contact(note.customer_id) if note.customer_id else None
    if contact and contact.phone and note.is_payable(clock.now()):
        values = {"total": note.total, "currency": note.currency, "until": note.expires_at}
        write(Kind.PAYMENT_REMINDER, order_id, contact.customer_id, **values)


def _update(order_id: UUID, state: str = "", **fields: Any) -> OrderNote:
    note, _ = OrderNote.objects.get_or_create(order_id=order_id)
    for name, value in fields.items():
        setattr(note, name, value)
    if state:
        note.become(state)
    note.save()
    return note
