"""Refusals of payments, and failures of a call to the bank or the fraud service.

Refusal
├── NoSuchOrder
├── SaleIsOff
├── AlreadyBeingPaid
├── NotHeld
├── NoSuchProvider
├── BadWebhook
└── CardDeclined      the bank refused the capture
NotReached            the call was not sent, so nothing happened
NoClearAnswer         the call was sent, and money may have moved
"""

from eventbus import EventBusError, Refusal, TryLater


class NoSuchOrder(Refusal):
    """There is no such order."""

    status = 404


class SaleIsOff(Refusal):
    """The order is cancelled, so it cannot be paid."""


class AlreadyBeingPaid(Refusal):
    """The order is paid, or being paid, by payment {payment_id}."""


class NotHeld(Refusal):
    """Payment {payment_id} is {status}; only a held payment waits for a decision."""


class NoSuchProvider(Refusal):
    """No provider of this name sends webhooks here."""

    status = 404


class BadWebhook(Refusal):
    """The webhook is refused: {problem}."""

    status = 400


class CardDeclined(Refusal):
    """{reason}"""


class NotReached(TryLater):
    """{reason} is unreachable; trying again in {seconds} s."""


class NoClearAnswer(EventBusError):
    """{service} gave no clear answer ({problem}), so the outcome is unknown."""
