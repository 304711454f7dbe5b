"""Consumers of notifications."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

from eventbus import Envelope, consumer
from notifications import services
from notifications.services.orders import Line


def _order_and_customer(order_id: UUID, customer_id: UUID) -> list[UUID]:
    # The customer's key makes these consumers and `welcome_customer` take turns. Without it a
    # message could wait for a contact that was created at the same moment.
    return [order_id, customer_id]


@consumer("accounts.CustomerSignedUp", key="customer_id")
def welcome_customer(
    customer_id: UUID, email: str, name: str, language: str, phone: str | None, wants_messages: bool
) -> None:
    services.welcome_customer(
        customer_id,
        email=email,
        name=name,
        language=language,
        phone=phone or "",
        wants_messages=wants_messages,
    )


@consumer("orders.OrderPlaced", key=_order_and_customer)
def confirm_order(
    order_id: UUID, customer_id: UUID, lines: list[Line], total: Decimal, currency: str
) -> None:
    services.confirm_order(order_id, customer_id, lines, total, currency)


@consumer("orders.OrderPaid", key=_order_and_customer)
def send_invoice(
    order_id: UUID,
    customer_id: UUID,
    lines: list[Line],
    total: Decimal,
    currency: str,
    paid_at: dt.datetime,
) -> None:
    services.send_invoice(order_id, customer_id, lines, total, currency, paid_at)


@consumer("orders.OrderCancelled", key=_order_and_customer)
def explain_cancellation(
    order_id: UUID, customer_id: UUID, code: str, reason: str, was_paid: bool
) -> None:
    services.explain_cancellation(order_id, customer_id, code, reason, was_paid)


@consumer("inventory.StockReserved", key="order_id")
def schedule_reminder(order_id: UUID, expires_at: dt.datetime) -> None:
    services.schedule_reminder(order_id, expires_at)


@consumer("notifications.PaymentReminderDue", key="order_id")
def remind_to_pay(order_id: UUID) -> None:
    services.remind_to_pay(order_id)


@consumer("inventory.StockLow", key="sku")
def warn_operator(event: Envelope, sku: str, available: int, threshold: int) -> None:
    services.warn_operator(event.id, sku, available, threshold)


@consumer("notifications.MessageWritten", external=True)
def send_message(message_id: UUID) -> Callable[[], None] | None:
    return services.send(message_id)
