"""Stripe, by its own library: a capture is a PaymentIntent, found again by our key in its metadata.

The library does not repeat anything by itself: whether to ask again is ours to decide.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import stripe

from payments.errors import BadWebhook, CardDeclined, NoClearAnswer, NotReached
from payments.gateway.http import NEVER_SENT, PAUSE
from payments.gateway.minor_units import from_minor, in_minor
from payments.gateway.port import Charge
from payments.gateway.webhooks import TOLERANCE, Hint, checked, fresh

# Refused at the door, before anything was done.
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
        """See the port; `card` is a token (tok_…) or a payment method (pm_…)."""
        wanted: Any = {
            "amount": in_minor(amount, currency),
            "currency": currency.lower(),
            "confirm": True,
            "payment_method_types": ["card"],
            "error_on_requires_action": True,  # nobody is there to be asked for a second factor
            "metadata": {"key": key},
            **_method(card),
        }
        with _answering(refused="The card was not accepted."):
            intent = self._intents.create(wanted, {"idempotency_key": key})
            if intent.status != "succeeded":
                raise NoClearAnswer(who="Stripe", problem=intent.status)
            return intent.id

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> str:
        """See the port."""
        wanted: Any = {
            "payment_intent": reference,
            "amount": in_minor(amount, currency),
            "metadata": {"key": key},
        }
        with _answering():
            refund = self._refunded(wanted, key)
            if refund.status not in ("succeeded", "pending"):
                raise NoClearAnswer(who="Stripe", problem=f"refund {refund.status}")
            return refund.id

    def _refunded(self, wanted: Any, key: str) -> stripe.Refund:
        try:
            return self._refunds.create(wanted, {"idempotency_key": key})
        except stripe.InvalidRequestError as error:
            if error.code != "charge_already_refunded":
                raise
        # Stripe forgets a key after a day, but not the refund.
        return self._refunds.list({"payment_intent": wanted["payment_intent"]}).data[0]

    def charge_of(self, key: str, reference: str = "") -> Charge | None:
        """See the port. Without a reference it is searched for, which lags by up to a minute."""
        with _answering():
            found = self._retrieved(reference) if reference else self._searched(key)
            ours = [intent for intent in found if intent["metadata"].get("key") == key]
            # A key that Stripe forgot may have made two: the one that took money counts.
            ours.sort(key=lambda intent: intent["status"] != "succeeded")
            return _charge(ours[0]) if ours else None

    def _retrieved(self, reference: str) -> list[dict[str, Any]]:
        try:
            intent = self._intents.retrieve(reference, {"expand": ["latest_charge"]})
        except stripe.InvalidRequestError as error:
            if error.code != "resource_missing":
                raise
            return []
        return [intent.to_dict()]

    def _searched(self, key: str) -> list[dict[str, Any]]:
        query = f"metadata['key']:'{key}'"
        found = self._intents.search({"query": query, "expand": ["data.latest_charge"]})
        return [intent.to_dict() for intent in found.data]


def hint_in(raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> Hint:
    """Read a signed webhook of Stripe's. Raises BadWebhook."""
    header = headers.get("stripe-signature", "")
    if not any(_fits(raw, header, secret) for secret in secrets):
        raise BadWebhook(problem="no signature fits, or it is old")
    # The library refuses what is old, not what comes from the future.
    stamp = re.search(r"(?:^|,)t=(\d+)", header)
    fresh(stamp[1] if stamp else "")
    return checked(_hint(json.loads(raw)))


def _fits(raw: bytes, header: str, secret: str) -> bool:
    try:
        stripe.Webhook.construct_event(raw, header, secret, TOLERANCE)
    except (stripe.SignatureVerificationError, ValueError, TypeError, AttributeError):
        return False
    return True


def _hint(event: Any) -> Hint:
    match event:
        case {"id": str(id), "type": str(kind), "data": {"object": {"object": str(what)} as it}}:
            sum_in = what in ("payment_intent", "charge")
            currency = str(it.get("currency", "")).upper()
            reference = it.get("id" if what == "payment_intent" else "payment_intent")
            return Hint(
                id,
                kind,
                key=str((it.get("metadata") or {}).get("key", "")) if sum_in else "",
                reference=reference if isinstance(reference, str) else "",
                amount=from_minor(int(it["amount"]), currency) if sum_in else None,
                currency=currency,
            )
    raise BadWebhook(problem="it does not say what it is about")


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
    why = (intent.get("last_payment_error") or {}).get("message") or "The card was declined."
    amount = from_minor(intent["amount"], currency)
    return Charge(state, amount, currency, intent["id"], why if state == "declined" else "")


@contextmanager
def _answering(refused: str = "") -> Iterator[None]:
    """Tell a no from silence. `refused`: what is told where Stripe says the request is wrong."""
    try:
        yield
    except stripe.CardError as no:
        raise CardDeclined(reason=no.user_message or "The card was declined.") from no
    except stripe.APIConnectionError as error:
        if isinstance(error.__cause__, NEVER_SENT):
            raise NotReached(reason="Stripe", seconds=PAUSE) from error
        raise NoClearAnswer(who="Stripe", problem=type(error.__cause__).__name__) from error
    except _NOTHING_DONE as error:
        raise NotReached(reason=f"Stripe ({type(error).__name__})", seconds=PAUSE) from error
    except stripe.InvalidRequestError as error:
        if refused:
            raise CardDeclined(reason=refused) from error
        raise NoClearAnswer(who="Stripe", problem=str(error)) from error
    except stripe.StripeError as error:
        problem = f"{type(error).__name__} {error.http_status or ''}".strip()
        raise NoClearAnswer(who="Stripe", problem=problem) from error
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise NoClearAnswer(who="Stripe", problem="not what was asked for") from error
