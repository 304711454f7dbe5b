"""What notifications hears.

Who writes to a customer takes turns with who gets to know them: otherwise a message could wait
for an address that has just come.
"""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

from eventbus import Envelope, consumer
from notifications import services
from notifications.models import Line


def _both(order_id: UUID, customer_id: UUID) -> list[UUID]:
    return [order_id, customer_id]


@consumer("accounts.CustomerSignedUp", key="customer_id")
def welcome_customer(
    customer_id: UUID, email: str, name: str, language: str, phone: str | None, wants_messages: bool
) -> None:
    """Greet, and write to them from now on."""
    services.welcome(
        customer_id,
        email=email,
        name=name,
        language=language,
        phone=phone or "",
        wants_messages=wants_messages,
    )


@consumer("orders.OrderPlaced", key=_both)
def confirm_order(
    order_id: UUID, customer_id: UUID, lines: list[Line], total: Decimal, currency: str
) -> None:
    """Say that it arrived."""
    services.confirm_order(order_id, customer_id, lines, total, currency)


@consumer("orders.OrderPaid", key=_both)
def send_invoice(
    order_id: UUID,
    customer_id: UUID,
    lines: list[Line],
    total: Decimal,
    currency: str,
    paid_at: dt.datetime,
) -> None:
    """Send the figures, and thanks."""
    services.send_invoice(order_id, customer_id, lines, total, currency, paid_at)


@consumer("orders.OrderCancelled", key=_both)
def explain_cancellation(
    order_id: UUID, customer_id: UUID, code: str, reason: str, was_paid: bool
) -> None:
    """Say why there is no sale."""
    services.explain_cancellation(order_id, customer_id, code, reason, was_paid)


@consumer("inventory.StockReserved", key="order_id")
def schedule_reminder(order_id: UUID, expires_at: dt.datetime) -> None:
    """Set the alarm clock."""
    services.schedule_reminder(order_id, expires_at)


@consumer("notifications.PaymentReminderDue", key="order_id")
def remind_to_pay(order_id: UUID) -> None:
    """The alarm clock rings."""
    services.remind_to_pay(order_id)


@consumer("inventory.StockLow", key="sku")
def warn_operator(news: Envelope, sku: str, available: int, threshold: int) -> None:
    """Let somebody order more."""
    services.warn_operator(news.id, sku, available, threshold)


@consumer("notifications.MessageWritten", external=True)
def send_message(message_id: UUID) -> Callable[[], None] | None:
    """Let it go out."""
    return services.send(message_id)
