"""Calls of a bank's that nobody asked for: who signed them, when, and what they hint at.

Ours follow Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over id, timestamp and body,
`webhook-signature: v1,<base64>`, several of them while a secret is changed.
"""

import base64
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from payments.errors import BadWebhook

TOLERANCE = 300  # seconds a timestamp may be off, either way
LONGEST_ID = 255


@dataclass(frozen=True)
class Hint:
    """What a webhook is about; only the bank's own answer counts. Empty: it did not say."""

    id: str
    kind: str
    key: str = ""
    reference: str = ""
    amount: Decimal | None = None
    currency: str = ""


def hint_in(raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> Hint:
    """Read a signed webhook of the HTTP bank. Raises BadWebhook."""
    id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").split()
    wanted = [sign(secret, id, timestamp, raw) for secret in secrets]
    # Every pair is compared, each in constant time: how long it takes says nothing.
    fits = [hmac.compare_digest(g.encode(), w.encode()) for g in given for w in wanted]
    if not any(fits):
        raise BadWebhook(problem="no signature fits")
    fresh(timestamp)
    return _read(id, raw)


def sign(secret: str, id: str, timestamp: str, raw: bytes) -> str:
    """Return the signature of a webhook; a secret `whsec_…` is base64."""
    plain = secret.removeprefix("whsec_")
    key = secret.encode() if plain == secret else base64.b64decode(plain + "==")
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + raw, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def fresh(timestamp: str) -> None:
    """Refuse what was signed too long ago, or will be. Raises BadWebhook."""
    try:
        off = abs(time.time() - int(timestamp))
    except (ValueError, OverflowError):
        raise BadWebhook(problem="its timestamp is no number") from None
    if off > TOLERANCE:
        raise BadWebhook(problem=f"its timestamp is more than {TOLERANCE} seconds off")


def _read(id: str, raw: bytes) -> Hint:
    match _json(raw):
        case {
            "type": str(kind),
            "data": {"key": str(key), "amount": str(amount), "currency": str(currency), **more},
        }:
            reference = str(more.get("reference", ""))
            return checked(Hint(id, kind, key, reference, _amount(amount), currency))
    raise BadWebhook(problem="it does not say what it is about")


def checked(hint: Hint) -> Hint:
    """Refuse what could not be kept. Raises BadWebhook."""
    words = (hint.id, hint.kind, hint.key, hint.reference, hint.currency)
    if not hint.id or any(len(w) > LONGEST_ID or "\0" in w for w in words):
        raise BadWebhook(problem="it is not named so that it can be kept")
    return hint


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadWebhook(problem="it is no JSON") from None


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise BadWebhook(problem="its amount is no number") from None
