"""How payments says no, and what can go wrong on the way to the bank.

Refusal
├── NoSuchOrder
├── SaleIsOff
├── AlreadyBeingPaid
├── NotHeld
├── NoSuchProvider
├── BadWebhook
└── CardDeclined      the bank's own no
NotReached            nothing was asked, so nothing happened
NoClearAnswer         something was asked, and may have happened
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
    """Payment {payment_id} is {status}: only a held one waits for a decision."""


class NoSuchProvider(Refusal):
    """Nobody of that name sends webhooks here."""

    status = 404


class BadWebhook(Refusal):
    """This is not taken for a call of the bank's: {problem}."""

    status = 400


class CardDeclined(Refusal):
    """{reason}"""


class NotReached(TryLater):
    """{reason} cannot be reached; again in {seconds} s."""


class NoClearAnswer(EventBusError):
    """{who} gave no clear answer ({problem}): what it did is not known."""
