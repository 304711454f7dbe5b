"""What payments listens to, in its own words.

The id of the question an answer belongs to is the answer's causation.
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
    """There is something to pay for."""
    services.expect_payment(order_id, customer_id, total, currency, country)


@consumer("orders.OrderCancelled", key="order_id")
def cancel_bill(order_id: UUID, customer_id: UUID, reason: str) -> None:
    """There is nothing to pay for any more."""
    services.cancel_bill(order_id, customer_id, reason)


@consumer("inventory.ReservationPinned", external=True, key="payment_id")
def take_money(payment_id: UUID, until: dt.datetime, answer: Envelope) -> Callable[[], None] | None:
    """The goods stay for a while: now, or not at all."""
    return services.take_money(payment_id, answer.causation, until)


@consumer("inventory.PinRefused", key="payment_id")
def decline_unpinned(payment_id: UUID, reason: str, answer: Envelope) -> None:
    """There are no goods to pay for."""
    services.decline_unpinned(payment_id, answer.causation, reason)


@consumer("payments.PinTimedOut", key="payment_id")
def time_out(payment_id: UUID, question: UUID) -> None:
    """No answer in time, no capture."""
    services.time_out(payment_id, question)


@consumer("payments.RefundDue", external=True, key="payment_id")
def give_back(payment_id: UUID, reason: str) -> Callable[[], None] | None:
    """The money is not ours."""
    return services.give_back(payment_id, reason)


@consumer("payments.BankAnswerDue", external=True, key="payment_id")
def ask_bank(payment_id: UUID, round: int, reference: str = "") -> Callable[[], None] | None:
    """How a capture stands is the bank's to say."""
    return services.ask_bank(payment_id, round, reference)
