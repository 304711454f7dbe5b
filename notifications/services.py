"""What notifications does: write messages, and hand them to their channels."""

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from eventbus import GiveUp, TryLater, clock, origin, publish
from notifications import gateway
from notifications.errors import NotKnownYet
from notifications.events import PaymentReminderDue
from notifications.models import Channel, Contact, Message, OrderNote

Kind = Message.Kind


@transaction.atomic
def welcome(customer_id: UUID, **details: Any) -> None:
    """Get to know a customer: welcome them, and release what waited for their address."""
    contact, new = Contact.objects.get_or_create(customer_id=customer_id, defaults=details)
    if new:
        _write(Kind.WELCOME, customer_id, customer_id)
        waiting = Message.objects.filter(customer_id=customer_id, state=Message.State.WAITING)
        for message in waiting.order_by("id"):
            _address(message, contact)


@transaction.atomic
def confirm_order(
    order_id: UUID,
    customer_id: UUID,
    lines: Sequence[dict[str, Any]],
    total: Decimal,
    currency: str,
) -> None:
    """Tell the customer that the order is here."""
    _note(order_id, customer_id=customer_id, total=total, currency=currency)
    _write(
        Kind.ORDER_RECEIVED, order_id, customer_id, lines=lines, total=total, currency=currency
    )


@transaction.atomic
def send_invoice(
    order_id: UUID,
    customer_id: UUID,
    lines: Sequence[dict[str, Any]],
    total: Decimal,
    currency: str,
    paid_at: dt.datetime,
) -> None:
    """Thank for the money: by push at once, and with all figures by mail."""
    _note(order_id).settle(OrderNote.State.PAID)
    sold = {"total": total, "currency": currency}
    _write(Kind.INVOICE, order_id, customer_id, lines=lines, at=paid_at, **sold)
    _write(Kind.ORDER_PAID_PUSH, order_id, customer_id, **sold)
