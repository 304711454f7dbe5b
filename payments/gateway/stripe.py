"""Stripe, by its own library: a capture is a PaymentIntent that has our key in its metadata.

The library's own retries are off: whether to send again is decided by reconciliation.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import stripe

from payments.errors import CardDeclined, NoClearAnswer, NotReached
from payments.gateway.http import NEVER_SENT, RETRY_AFTER
from payments.gateway.minor_units import from_minor, in_minor
from payments.gateway.port import Charge

# Stripe refuses these before it does anything.
_NOTHING_DONE = (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError)
_STATES: Mapping[str, Any] = {
    "succeeded": "captured",
    "requires_payment_method": "declined",
    "canceled": "declined",
}


class StripeBank:
    """A Stripe account; `timeout` seconds for each of connecting, sending and reading."""

    def __init__(self, api_key: str, address: str, timeout: float) -> None:
        client = stripe.StripeClient(
            api_key,
            base_addresses={"api": address},
            http_client=stripe.HTTPXClient(timeout=timeout, allow_sync_methods=True),
            max_network_retries=0,
        )
        self._intents, self._refunds = client.v1.payment_intents, client.v1.refunds

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> str:
        """Create a PaymentIntent; `card` is a token (tok_…) or a payment method (pm_…)."""
        params: Any = {
            "amount": in_minor(amount, currency),
            "currency": currency.lower(),
            "confirm": True,
            "payment_method_types": ["card"],
            "error_on_requires_action": True,  # the customer is not there for a second factor
            "metadata": {"key": key},
            **_method(card),
        }
        with _translated_errors(invalid_request="The card was not accepted."):
            intent = self._intents.create(params, {"idempotency_key": key})
            if intent.status != "succeeded":
                raise NoClearAnswer(service="Stripe", problem=intent.status)
            return intent.id

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> str:
        params: Any = {
            "payment_intent": reference,
            "amount": in_minor(amount, currency),
            "metadata": {"key": key},
        }
        with _translated_errors():
            refund = self._create_refund(params, key)
            if refund.status not in ("succeeded", "pending"):
                raise NoClearAnswer(service="Stripe", problem=f"refund {refund.status}")
            return refund.id

    def _create_refund(self, params: Any, key: str) -> stripe.Refund:
        try:
            return self._refunds.create(params, {"idempotency_key": key})
        except stripe.InvalidRequestError as error:
            if error.code != "charge_already_refunded":
                raise
        # Stripe keeps a key for a day, and a refund for ever.
        return self._refunds.list({"payment_intent": params["payment_intent"]}).data[0]

    def charge_of(self, key: str, reference: str = "") -> Charge | None:
        """Describe a capture. Without a reference it is searched for: Stripe's index lags 1 min."""
        with _translated_errors():
            found = self._retrieve(reference) if reference else self._search(key)
            ours = [intent for intent in found if intent["metadata"].get("key") == key]
            # After Stripe has dropped a key there may be two: the one that took money counts.
            ours.sort(key=lambda intent: intent["status"] != "succeeded")
            return _charge(ours[0]) if ours else None

    def _retrieve(self, reference: str) -> list[dict[str, Any]]:
        try:
            intent = self._intents.retrieve(reference, {"expand": ["latest_charge"]})
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing":
                raise
            return []
        return [intent.to_dict()]

    def _search(self, key: str) -> list[dict[str, Any]]:
        query = f"metadata['key']:'{key}'"
        found = self._intents.search({"query": query, "expand": ["data.latest_charge"]})
        return [intent.to_dict() for intent in found.data]


def _method(card: str) -> dict[str, Any]:
    if card.startswith("pm_"):
        return {"payment_method": card}
    return {"payment_method_data": {"type": "card", "card": {"token": card}}}


def _charge(intent: Mapping[str, Any]) -> Charge:
    state = _STATES.get(intent["status"], "pending")
    charge = intent.get("latest_charge") or {}
    if state == "captured" and charge.get("refunded"):
        state = "refunded"
    currency = intent["currency"].upper()
    error = (intent.get("last_payment_error") or {}).get("message") or "The card was declined."
    amount = from_minor(intent["amount"], currency)
    return Charge(state, amount, currency, intent["id"], error if state == "declined" else "")


@contextmanager
def _translated_errors(invalid_request: str = "") -> Iterator[None]:
    """Raise Stripe's errors as ours. `invalid_request`: the decline that such an error means."""
    try:
        yield
    except stripe.CardError as error:
        raise CardDeclined(reason=error.user_message or "The card was declined.") from error
    except stripe.APIConnectionError as error:
        if isinstance(error.__cause__, NEVER_SENT):
            raise NotReached(reason="Stripe", seconds=RETRY_AFTER) from error
        problem = type(error.__cause__).__name__
        raise NoClearAnswer(service="Stripe", problem=problem) from error
    except _NOTHING_DONE as error:
        reason = f"Stripe ({type(error).__name__})"
        raise NotReached(reason=reason, seconds=RETRY_AFTER) from error
    except stripe.InvalidRequestError as error:
        if invalid_request:
            raise CardDeclined(reason=invalid_request) from error
        raise NoClearAnswer(service="Stripe", problem=str(error)) from error
    except stripe.StripeError as error:
        problem = f"{type(error).__name__} {error.http_status or ''}".strip()
        raise NoClearAnswer(service="Stripe", problem=problem) from error
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise NoClearAnswer(service="Stripe", problem="unexpected content") from error
