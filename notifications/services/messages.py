"""Writing messages: at most one of a kind about the same order or customer."""

from typing import Any
from uuid import UUID

import msgspec

from eventbus import publish
from infra import clock
from infra.transactions import atomic
from notifications.models import Channel, Contact, Message


@atomic
def warn_operator(event_id: UUID, sku: str, available: int, threshold: int) -> None:
    """Write to the operator that a product is running low, once for each event."""
    values = {"sku": sku, "available": available, "threshold": threshold}
    write(Message.Kind.STOCK_LOW, event_id, None, **values)


def write(kind: Message.Kind, about: UUID, customer_id: UUID | None, **context: Any) -> None:
    """Write a message, unless there is one; it waits until its contact is known.

    Without a customer it goes to the operator.
    """
    channel = Message.CHANNELS.get(kind, Channel.MAIL)
    values = msgspec.to_builtins(context)
    defaults = {"customer_id": customer_id, "channel": channel, "context": values}
    message, new = Message.objects.get_or_create(kind=kind, about=about, defaults=defaults)
    contact = find_contact(customer_id) if customer_id else Contact.operator()
    if new and contact:
        queue(message, contact)


def queue(message: Message, contact: Contact) -> None:
    """Compose a message for its contact, and publish that it can be sent."""
    event = message.compose(contact, clock.now())
    message.save()
    if event:
        publish(event)


def find_contact(customer_id: UUID) -> Contact | None:
    """Return a customer's contact, if it is known already."""
    return Contact.objects.filter(pk=customer_id).first()
