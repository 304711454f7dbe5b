"""Consumers of payments.

A reply carries the id of its PinRequested event as its causation.
"""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

from eventbus import Envelope, consumer
from payments import services


@consumer("orders.OrderPlaced", key="order_id")
def expect_payment(
    order_id: UUID, customer_id: UUID, total: Decimal, currency: str, country: str
) -> None:
    services.expect_payment(order_id, customer_id, total, currency, country)


@consumer("orders.OrderCancelled", key="order_id")
def cancel_bill(order_id: UUID, customer_id: UUID, reason: str) -> None:
    services.cancel_bill(order_id, customer_id, reason)


@consumer("inventory.ReservationPinned", external=True, key="payment_id")
def capture_payment(
    payment_id: UUID, until: dt.datetime, reply: Envelope
) -> Callable[[], None] | None:
    return services.capture_payment(payment_id, reply.causation, until)


@consumer("inventory.PinRefused", key="payment_id")
def decline_unpinned(payment_id: UUID, reason: str, reply: Envelope) -> None:
    services.decline_unpinned(payment_id, reply.causation, reason)


@consumer("payments.PinTimedOut", key="payment_id")
def time_out_pin(payment_id: UUID, question: UUID) -> None:
    services.time_out_pin(payment_id, question)


@consumer("payments.RefundDue", external=True, key="payment_id")
def refund_payment(payment_id: UUID, reason: str) -> Callable[[], None] | None:
    return services.refund_payment(payment_id, reason)


@consumer("payments.BankAnswerDue", external=True, key="payment_id")
def reconcile_capture(
    payment_id: UUID, round: int, reference: str = ""
) -> Callable[[], None] | None:
    return services.reconcile_capture(payment_id, round, reference)
