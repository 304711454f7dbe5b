"""Webhooks of Stripe, by its signature scheme."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import stripe

from payments.errors import BadWebhook
from payments.gateway.minor_units import from_minor
from payments.gateway.webhooks import TOLERANCE, Hint, check_content, check_timestamp


def read(raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> Hint:
    """Check the signature of a webhook, and return its content. Raises BadWebhook."""
    header = headers.get("stripe-signature", "")
    if not any(_is_signed(raw, header, secret) for secret in secrets):
        raise BadWebhook(problem="no signature matches, or it is too old")
    # The library refuses an old timestamp, but not one in the future.
    stamp = re.search(r"(?:^|,)t=(\d+)", header)
    check_timestamp(stamp[1] if stamp else "")
    return check_content(_hint(json.loads(raw)))


def _is_signed(raw: bytes, header: str, secret: str) -> bool:
    try:
        stripe.Webhook.construct_event(raw, header, secret, TOLERANCE)
    except (stripe.SignatureVerificationError, ValueError, TypeError, AttributeError):
        return False
    return True


def _hint(event: Any) -> Hint:
    match event:
        case {"id": str(id), "type": str(kind), "data": {"object": {"object": str(type_)} as it}}:
            has_amount = type_ in ("payment_intent", "charge")
            currency = str(it.get("currency", "")).upper()
            reference = it.get("id" if type_ == "payment_intent" else "payment_intent")
            return Hint(
                id,
                kind,
                key=str((it.get("metadata") or {}).get("key", "")) if has_amount else "",
                reference=reference if isinstance(reference, str) else "",
                amount=from_minor(int(it["amount"]), currency) if has_amount else None,
                currency=currency,
            )
    raise BadWebhook(problem="it is not an event of Stripe's API")
