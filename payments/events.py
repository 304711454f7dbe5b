"""Events of payments."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

from eventbus import Event


class PinRequested(Event, about="order_id", only_for="inventory"):
    """Inventory is asked to keep the goods of an order reserved during its capture.

    It replies with ReservationPinned or PinRefused; without a reply in time there is no capture.
    """

    order_id: UUID
    payment_id: UUID


class PinTimedOut(Event, about="payment_id", only_for="payments"):
    """A timer of payments: the reply to PinRequested is due. `question`: the id of PinRequested."""

    payment_id: UUID
    question: UUID


class BankAnswerDue(Event, about="payment_id", only_for="payments"):
    """A timer of payments: the bank has to be asked about a capture.

    `round`: counts the questions about one unknown outcome; 0 after a webhook.
    """

    payment_id: UUID
    round: int
    reference: str = ""


class PaymentCaptured(Event, about="payment_id"):
    """The bank has captured the money of an order."""

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal
    currency: str
    captured_at: dt.datetime


class PaymentDeclined(Event, about="payment_id"):
    """A payment ended without money: declined by bank, fraud check or operator, or not pinned.

    `final`: the order will be cancelled. Otherwise the customer may pay again.
    """

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    reason: str
    final: bool


class RefundDue(Event, about="payment_id", only_for="payments"):
    """Captured money has to be refunded."""

    payment_id: UUID
    reason: str


class PaymentRefunded(Event, about="payment_id"):
    """Captured money was refunded to the customer."""

    payment_id: UUID
    order_id: UUID
    customer_id: UUID
    amount: Decimal
    currency: str
    reason: str
    refunded_at: dt.datetime
