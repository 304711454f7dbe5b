"""What payments says to the rest of the house."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

from eventbus import Event


class PinRequested(Event, about="order_id", only_for="inventory"):
    """A question: will the goods of this order stay reserved while its money is taken?

    Inventory answers ReservationPinned or PinRefused; no answer in time, no capture.
    """

    order_id: UUID
    payment_id: UUID


class PinTimedOut(Event, about="payment_id", only_for="payments"):
    """Payments' alarm clock: the answer about the reservation should be here."""

    payment_id: UUID
    question: UUID


class BankAnswerDue(Event, about="payment_id", only_for="payments"):
    """Payments' alarm clock: time to ask the bank how a capture stands.

    `round`: how often it rang for one unclear answer; 0 where the bank itself called.
    """

    payment_id: UUID
    round: int
    reference: str = ""


class PaymentCaptured(Event, about="payment_id"):
    """The bank has moved the money of an order to us."""

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal
    currency: str
    captured_at: dt.datetime


class PaymentDeclined(Event, about="payment_id"):
    """The bank or the fraud check said no; no money moved.

    `final`: the order is lost. Otherwise the customer may pay again.
    """

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    reason: str
    final: bool


class RefundDue(Event, about="payment_id", only_for="payments"):
    """Captured money has to go back to the customer."""

    payment_id: UUID
    reason: str


class PaymentRefunded(Event, about="payment_id"):
    """Captured money is back with the customer."""

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal
    currency: str
    reason: str
    refunded_at: dt.datetime
