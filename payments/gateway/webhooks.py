"""Webhooks of the HTTP bank, by Standard Webhooks (standardwebhooks.com).

The signature is HMAC-SHA256 over id, timestamp and body: `webhook-signature: v1,<base64>`, several
of them while a secret is being changed.
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
MAX_LENGTH = 255  # characters


@dataclass(frozen=True)
class Hint:
    """The content of a webhook: a reason to ask the bank. A missing field is empty."""

    id: str
    kind: str
    key: str = ""
    reference: str = ""
    amount: Decimal | None = None
    currency: str = ""


def read(raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> Hint:
    """Check the signature of a webhook, and return its content. Raises BadWebhook."""
    id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "").split()
    valid = [sign(secret, id, timestamp, raw) for secret in secrets]
    # Every pair is compared in constant time, so that the duration reveals nothing.
    matches = [hmac.compare_digest(g.encode(), v.encode()) for g in given for v in valid]
    if not any(matches):
        raise BadWebhook(problem="no signature matches")
    check_timestamp(timestamp)
    return check_content(_parse(id, raw))


def sign(secret: str, id: str, timestamp: str, raw: bytes) -> str:
    """Return the signature of a webhook; a secret `whsec_…` is base64."""
    plain = secret.removeprefix("whsec_")
    key = secret.encode() if plain == secret else base64.b64decode(plain + "==")
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + raw, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def check_timestamp(timestamp: str) -> None:
    """Refuse a timestamp too far from now. Raises BadWebhook."""
    try:
        off = abs(time.time() - int(timestamp))
    except (ValueError, OverflowError):
        raise BadWebhook(problem="its timestamp is not a number") from None
    if off > TOLERANCE:
        raise BadWebhook(problem=f"its timestamp is more than {TOLERANCE} seconds off")


def check_content(hint: Hint) -> Hint:
    """Refuse a text that the database cannot store. Raises BadWebhook."""
    texts = (hint.id, hint.kind, hint.key, hint.reference, hint.currency)
    if not hint.id or any(len(text) > MAX_LENGTH or "\0" in text for text in texts):
        raise BadWebhook(problem="its id is missing, or a field is too long or has a NUL")
    return hint


def _parse(id: str, raw: bytes) -> Hint:
    match _json(raw):
        case {
            "type": str(kind),
            "data": {"key": str(key), "amount": str(amount), "currency": str(currency), **more},
        }:
            reference = str(more.get("reference", ""))
            return Hint(id, kind, key, reference, _amount(amount), currency)
    raise BadWebhook(problem="type, key, amount or currency is missing, or not a text")


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadWebhook(problem="it is not JSON") from None


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise BadWebhook(problem="its amount is not a number") from None
