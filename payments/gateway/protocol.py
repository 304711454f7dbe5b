"""Responses of the HTTP bank and its fraud service, parsed: over HTTP and in memory alike."""

from decimal import Decimal, InvalidOperation
from typing import Any

from payments.errors import CardDeclined, NoClearAnswer
from payments.gateway.port import Charge, Verdict

BANK, FRAUD_SERVICE = "The bank", "The fraud service"


def parse_reference(status: int, body: Any) -> str:
    """Parse the response to a capture or a refund. Raises CardDeclined, NoClearAnswer."""
    match status, body:
        case 200 | 201, {"reference": str(reference)} if reference:
            return _storable(reference)
        case 402, {"reason": str(reason)}:
            raise CardDeclined(reason=_storable(reason))
    raise NoClearAnswer(service=BANK, problem=f"status {status}")


def parse_charge(status: int, body: Any) -> Charge | None:
    """Parse the response to a question about a capture. Raises NoClearAnswer."""
    match status, body:
        # Any other 404, such as a proxy's, does not mean that there is no capture.
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
                _parse_amount(amount),
                currency,
                _storable(str(more.get("reference", ""))),
                _storable(str(more.get("reason", ""))),
            )
    raise NoClearAnswer(service=BANK, problem=f"status {status}")


def parse_verdict(status: int, body: Any) -> Verdict:
    """Parse the response to an assessment. Raises NoClearAnswer."""
    match status, body:
        case 200, {"verdict": "passed"}:
            return Verdict("allow", "passed")
        case 200, {"verdict": "fraud", "reason": str(reason)}:
            return Verdict("refuse", f"fraud: {_storable(reason)}"[:300])
    raise NoClearAnswer(service=FRAUD_SERVICE, problem=f"status {status}")


def _parse_amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise NoClearAnswer(service=BANK, problem="its amount is not a number") from error


def _storable(text: str) -> str:
    # PostgreSQL stores no NUL in a text.
    return text.replace("\0", "")
