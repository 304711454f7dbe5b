"""Events that accounts publishes."""

import datetime as dt
from uuid import UUID

from eventbus import Event


class CustomerSignedUp(Event, about="customer_id"):
    """A customer signed up. Other contexts store the fields they need under `customer_id`."""

    customer_id: UUID
    email: str
    name: str
    language: str
    country: str
    phone: str | None
    wants_messages: bool
    signed_up_at: dt.datetime


class CustomerDisabled(Event, about="customer_id"):
    """A customer may not log in any more."""

    customer_id: UUID
    reason: str
