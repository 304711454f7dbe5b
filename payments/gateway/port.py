"""What payments needs of a bank and of a fraud service, and how their answers read."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Protocol

from payments.errors import CardDeclined, NoClearAnswer


@dataclass(frozen=True)
class Verdict:
    """What to do with a payment, and the words it records."""

    outcome: Literal["go", "hold", "refuse"]
    words: str


@dataclass(frozen=True)
class Charge:
    """What the bank says of a capture, when asked; of one refunded in part: captured."""

    state: Literal["captured", "declined", "refunded", "pending"]
    amount: Decimal
    currency: str
    reference: str = ""
    reason: str = ""


class Bank(Protocol):
    """Moves money: with one key once, however often it is asked.

    Raises CardDeclined; NotReached where nothing was asked; NoClearAnswer where it was.
    """

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> str:
        """Take money, and return the bank's reference."""

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> str:
        """Give captured money back, and return the bank's reference of that."""

    def charge_of(self, key: str, reference: str = "") -> Charge | None:
        """Say how the capture with this key stands; None is a clear "there is none"."""


class FraudDesk(Protocol):
    """Says whether a payment smells. Raises NotReached or NoClearAnswer."""

    def assess(self, key: str, amount: Decimal, currency: str, card: str, country: str) -> Verdict:
        """Return `go`, or `refuse` and why."""


def reference_in(status: int, body: Any) -> str:
    """Read the bank's answer: the same whether it came by HTTP or from the fake."""
    match status, body:
        case 200 | 201, {"reference": str(reference)} if reference:
            return _plain(reference)
        case 402, {"reason": str(reason)}:
            raise CardDeclined(reason=_plain(reason))
    raise NoClearAnswer(who="The bank", problem=f"status {status}")


def charge_in(status: int, body: Any) -> Charge | None:
    """Read how a capture stands. A 404 counts only where it is the bank's own."""
    match status, body:
        case 404, {"state": "none"}:
            return None
        case 200, {
            "state": "captured" | "declined" | "refunded" | "pending" as state,
            "amount": str(amount),
            "currency": str(currency),
            **more,
        }:
            return Charge(
                state,
                _amount_in(amount),
                currency,
                _plain(str(more.get("reference", ""))),
                _plain(str(more.get("reason", ""))),
            )
    raise NoClearAnswer(who="The bank", problem=f"status {status}")


def _amount_in(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise NoClearAnswer(who="The bank", problem="an amount that is no number") from error


def verdict_in(status: int, body: Any) -> Verdict:
    """Read the fraud service's answer."""
    match status, body:
        case 200, {"verdict": "passed"}:
            return Verdict("go", "passed")
        case 200, {"verdict": "fraud", "reason": str(reason)}:
            return Verdict("refuse", f"fraud: {_plain(reason)}"[:300])
    raise NoClearAnswer(who="The fraud service", problem=f"status {status}")


def _plain(words: str) -> str:
    """Drop what the database cannot hold: the other side may say anything."""
    return words.replace("\0", "")
