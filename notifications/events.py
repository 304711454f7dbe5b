"""What notifications says, to itself: nobody else needs to know about its letters."""

from uuid import UUID

from eventbus import Event


class MessageWritten(Event, about="message_id", only_for="notifications"):
    """A message is written and its addressee known: it can go out."""

    message_id: UUID


class PaymentReminderDue(Event, about="order_id", only_for="notifications"):
    """Notifications' alarm clock: a reservation lapses soon, and may not be paid yet."""

    order_id: UUID
