"""What notifications says: mostly to itself, and to all what a customer was told."""

import datetime as dt
from uuid import UUID

from eventbus import Event


class MessageWritten(Event, about="message_id", only_for="notifications"):
    """A message is written and its addressee known: it can go out."""

    message_id: UUID


class CustomerTold(Event, about="order_id"):
    """A message about an order went out to its customer. `kind` is what it says, not its words."""

    message_id: UUID
    order_id: UUID
    kind: str
    channel: str
    sent_at: dt.datetime


class PaymentReminderDue(Event, about="order_id", only_for="notifications"):
    """Notifications' alarm clock: a reservation lapses soon, and may not be paid yet."""

    order_id: UUID
