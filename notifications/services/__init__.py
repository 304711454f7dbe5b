"""Services of notifications: each function is one transaction, except `send`."""

from notifications.services.contacts import change_preferences, welcome_customer
from notifications.services.messages import warn_operator
from notifications.services.orders import (
    confirm_order,
    explain_cancellation,
    remind_to_pay,
    schedule_reminder,
    send_invoice,
)
from notifications.services.sending import send, send_again

__all__ = [
    "change_preferences",
    "confirm_order",
    "explain_cancellation",
    "remind_to_pay",
    "schedule_reminder",
    "send",
    "send_again",
    "send_invoice",
    "warn_operator",
    "welcome_customer",
]
