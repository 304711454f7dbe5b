"""Webhooks of the HTTP bank: bodies and signed headers."""

import json
import time
from typing import Any
from uuid import uuid4

from payments.gateway.webhooks import sign

SECRET, OLD_SECRET = "whsec_" + "c2VjcmV0" * 6, "an older secret, in plain words"
ADDRESS = "/v1/payments/webhooks/bank"


def webhook_body(kind: str = "captured", **charge: Any) -> bytes:
    """Return the body of a webhook."""
    data = {"amount": "20.00", "currency": "EUR", "reference": "", "state": kind, **charge}
    return json.dumps({"type": f"charge.{kind}", "data": data}).encode()


def signed_headers(
    raw: bytes, secret: str = SECRET, id: str = "", at: float | None = None
) -> dict[str, str]:
    """Return the headers that go with a body."""
    id = id or f"msg_{uuid4().hex}"
    timestamp = str(int(time.time() if at is None else at))
    return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(secret, id, timestamp, raw),
    }
