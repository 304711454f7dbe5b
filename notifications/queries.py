"""Queries of notifications."""

from uuid import UUID

from django.db.models import QuerySet

from notifications.models import Contact, Message


def messages(customer_id: UUID | None = None) -> QuerySet[Message]:
    """Return all messages, or a customer's, the latest first."""
    found = Message.objects.order_by("-id")
    return found if customer_id is None else found.filter(customer_id=customer_id)


def preferences_of(customer_id: UUID) -> Contact | None:
    """Return a customer's contact, if it is known already."""
    return Contact.objects.filter(pk=customer_id).first()
