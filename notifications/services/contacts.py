"""Contacts: created when a customer signs up, changed by the customer."""

from typing import Any
from uuid import UUID

from infra.transactions import atomic
from notifications.errors import NotKnownYet
from notifications.models import Contact, Message
from notifications.services.messages import queue, write


@atomic
def welcome_customer(customer_id: UUID, **details: Any) -> None:
    """Create the contact, welcome it, and queue the messages that waited for it."""
    contact, new = Contact.objects.get_or_create(customer_id=customer_id, defaults=details)
    if new:
        write(Message.Kind.WELCOME, customer_id, customer_id)
        waiting = Message.objects.filter(customer_id=customer_id, state=Message.State.WAITING)
        for message in waiting.order_by("id"):
            queue(message, contact)


@atomic
def change_preferences(customer_id: UUID, **preferences: bool) -> Contact:
    """Choose channels, for messages written from now on. Raises NotKnownYet."""
    contact = Contact.objects.select_for_update().filter(pk=customer_id).first()
    if contact is None:
        raise NotKnownYet()
    for name, wanted in preferences.items():
        setattr(contact, name, wanted)
    contact.save(update_fields=preferences)
    return contact
