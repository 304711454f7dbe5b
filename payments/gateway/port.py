"""The ports of the bank and of the fraud service."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol


@dataclass(frozen=True)
class Verdict:
    """The outcome of a fraud check, and the text that the payment records."""

    outcome: Literal["allow", "hold", "refuse"]
    text: str


@dataclass(frozen=True)
class Charge:
    """A capture as the bank describes it. A partly refunded one is captured."""

    state: Literal["captured", "declined", "refunded", "pending"]
    amount: Decimal
    currency: str
    reference: str = ""
    reason: str = ""


class Bank(Protocol):
    """Moves money; a call repeated with the same key moves it once.

    Methods raise NotReached if the call was not sent, NoClearAnswer if its outcome is unknown.
    """

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> str:
        """Take money, and return the bank's reference. Raises CardDeclined."""

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> str:
        """Refund captured money, and return the bank's reference of the refund."""

    def charge_of(self, key: str, reference: str = "") -> Charge | None:
        """Describe the capture with this key; None if the bank clearly has none."""


class FraudService(Protocol):
    """Assesses payments. Raises NotReached or NoClearAnswer."""

    def assess(self, key: str, amount: Decimal, currency: str, card: str, country: str) -> Verdict:
        """Return the verdict: allow or refuse."""
