"""What notifications does: write messages, and hand them to their channels."""

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from eventbus import Event, GiveUp, TryLater, origin, publish
from infra import clock
from notifications import gateway
from notifications.conf import conf
from notifications.errors import NotKnownYet
from notifications.events import PaymentReminderDue
from notifications.models import Channel, Contact, Line, Message, OrderNote

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
    order_id: UUID, customer_id: UUID, lines: Sequence[Line], total: Decimal, currency: str
) -> None:
    """Tell the customer that the order is here."""
    _note(order_id, customer_id=customer_id, total=total, currency=currency)
    figures = {"lines": lines, "total": total, "currency": currency}
    _write(Kind.ORDER_RECEIVED, order_id, customer_id, **figures)


@transaction.atomic
def send_invoice(
    order_id: UUID,
    customer_id: UUID,
    lines: Sequence[Line],
    total: Decimal,
    currency: str,
    paid_at: dt.datetime,
) -> None:
    """Thank for the money: by mail with all figures, by push in a line."""
    _note(order_id, OrderNote.State.PAID)
    figures = {"lines": lines, "total": total, "currency": currency, "at": paid_at}
    _write(Kind.INVOICE, order_id, customer_id, **figures)
    _write(Kind.ORDER_PAID_PUSH, order_id, customer_id, total=total, currency=currency)


@transaction.atomic
def explain_cancellation(
    order_id: UUID, customer_id: UUID, code: str, reason: str, was_paid: bool
) -> None:
    """Say that the sale is off, and why."""
    _note(order_id, OrderNote.State.CANCELLED)
    why = {"code": code, "reason": reason, "was_paid": was_paid}
    _write(Kind.CANCELLED, order_id, customer_id, **why)


@transaction.atomic
def schedule_reminder(order_id: UUID, expires_at: dt.datetime) -> None:
    """Set the alarm clock some time before the goods go back on the shelf."""
    note = _note(order_id, expires_at=expires_at)
    if note.state == OrderNote.State.PLACED:
        due = expires_at - conf.REMIND_BEFORE
        publish(PaymentReminderDue(order_id=order_id), due=due)


@transaction.atomic
def remind_to_pay(order_id: UUID) -> None:
    """Remind who can still pay, and whose number is known by now: a reminder cannot wait."""
    note = OrderNote.objects.get(pk=order_id)
    contact = _contact(note.customer_id)
    if contact and contact.phone and note.is_payable(clock.now()):
        figures = {"total": note.total, "currency": note.currency, "until": note.expires_at}
        _write(Kind.PAYMENT_REMINDER, order_id, contact.customer_id, **figures)


@transaction.atomic
def warn_operator(news: UUID, sku: str, available: int, threshold: int) -> None:
    """Tell the shop's operator that a product runs out."""
    _write(Kind.STOCK_LOW, news, None, sku=sku, available=available, threshold=threshold)


@transaction.atomic
def change_preferences(customer_id: UUID, **wishes: bool) -> Contact:
    """Note which channels somebody wants, for messages written from now on. Raises NotKnownYet."""
    contact = Contact.objects.select_for_update().filter(pk=customer_id).first()
    if contact is None:
        raise NotKnownYet()
    for channel, wanted in wishes.items():
        setattr(contact, channel, wanted)
    contact.save(update_fields=wishes)
    return contact


@transaction.atomic
def send_again(message_id: UUID) -> None:
    """Let a message that failed go out once more. Raises NotFailed."""
    message = Message.objects.select_for_update().get(pk=message_id)
    publish(message.requeue(clock.now()))
    message.save()


def send(message_id: UUID) -> Callable[[], None] | None:
    """Hand a message to its channel, in no transaction; return what records that it went.

    The message says `sending` meanwhile, so that whoever finds it so knows it was cut off.
    Raises TryLater, GiveUp.
    """
    try:
        message = _take_up(message_id)
        if message is None:
            return None
        reference = gateway.channel(message.channel).send(_outgoing(message))
    except TryLater:
        _update(message_id, Message.put_back)
        raise
    except GiveUp as why:
        _update(message_id, partial(Message.fail, reason=str(why)))
        raise
    return partial(_update, message_id, partial(Message.went, reference=reference))


@transaction.atomic
def _take_up(message_id: UUID) -> Message | None:
    message = Message.objects.select_for_update().get(pk=message_id)
    now = clock.now()
    if not _makes_sense(message, now):
        message.mute("nothing left to pay")
    taken = message.take_up(now)
    message.save()
    return message if taken else None


def _makes_sense(message: Message, now: dt.datetime) -> bool:
    if message.kind != Kind.PAYMENT_REMINDER or message.state != Message.State.QUEUED:
        return True
    return OrderNote.objects.get(pk=message.about).is_payable(now)


@transaction.atomic
def _update(message_id: UUID, change: Callable[[Message], Event | None]) -> None:
    message = Message.objects.select_for_update().get(pk=message_id)
    fact = change(message)
    message.save()
    if fact:
        publish(fact)


def _outgoing(message: Message) -> gateway.Outgoing:
    # Sent again on purpose, SMS and push need a new key; for a letter the key is only its name.
    key = str(message.id) if message.channel == Channel.MAIL else origin().key(message.channel)
    return gateway.Outgoing(key=key, to=message.to, subject=message.subject, text=message.body)


def _note(order_id: UUID, state: str = "", **known: Any) -> OrderNote:
    note, _ = OrderNote.objects.get_or_create(order_id=order_id)
    for field, value in known.items():
        setattr(note, field, value)
    if state:
        note.settle(state)
    note.save()
    return note


def _contact(customer_id: UUID | None) -> Contact | None:
    return Contact.objects.filter(pk=customer_id).first() if customer_id else None


def _write(kind: Message.Kind, about: UUID, customer_id: UUID | None, **context: Any) -> None:
    channel = Message.CHANNELS.get(kind, Channel.MAIL)
    plain = msgspec.to_builtins(context)
    first = {"customer_id": customer_id, "channel": channel, "context": plain}
    message, new = Message.objects.get_or_create(kind=kind, about=about, defaults=first)
    if new and customer_id is None:
        _address(message, Contact.operator())
    elif new and (contact := _contact(customer_id)):
        _address(message, contact)


def _address(message: Message, contact: Contact) -> None:
    fact = message.address(contact, clock.now())
    message.save()
    if fact:
        publish(fact)
