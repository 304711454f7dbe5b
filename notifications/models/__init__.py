"""Models of notifications: contacts, orders that may need a reminder, and messages."""

from notifications.models.contacts import Channel, Contact
from notifications.models.messages import Message
from notifications.models.orders import OrderNote

__all__ = ["Channel", "Contact", "Message", "OrderNote"]
