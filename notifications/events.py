"""Events of notifications: two for itself, and `CustomerTold` for all contexts."""

import datetime as dt
from uuid import UUID

from eventbus import Event


class MessageWritten(Event, about="message_id", only_for="notifications"):
    """A message has a text and an address, and can be sent."""

    message_id: UUID


class CustomerTold(Event, about="order_id"):
    """A message about an order was sent to its customer. `kind` names the message."""

    message_id: UUID
    order_id: UUID
    kind: str
    channel: str
    sent_at: dt.datetime


class PaymentReminderDue(Event, about="order_id", only_for="notifications"):
    """A timer of notifications: a reservation lapses soon, and its order may be unpaid."""

    order_id: UUID
