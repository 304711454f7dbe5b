"""Webhooks of runbank: signed, and on request late, doubled, forged and reordered."""

import json
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx

from payments.gateway.webhooks import sign

ATTEMPTS = 5
PAUSE = 1.0  # seconds between two attempts, and how long a webhook waits to be overtaken
FORGED_SECRET = "whsec_Zm9yZ2VkIQ=="


@dataclass(frozen=True)
class Delivery:
    """One webhook to send, with the secret that signs it."""

    secret: str
    id: str
    raw: bytes
    created: float

    @property
    def forged(self) -> bool:
        return self.secret == FORGED_SECRET


class WebhookSender(threading.Thread):
    """Sends webhooks one by one, and lists them in `sent`.

    late: seconds after the change. double: each twice. forge: a forgery before each.
    reorder: each two in the reverse order.
    """

    def __init__(
        self, url: str, secret: str, *, late: float, double: bool, forge: bool, reorder: bool
    ) -> None:
        super().__init__(daemon=True, name="webhook-sender")
        self._url, self._secret, self._late = url, secret, late
        self._double, self._forge, self._reorder = double, forge, reorder
        self._queue: queue.Queue[Delivery] = queue.Queue()
        self._client = httpx.Client(timeout=10)
        self.sent: list[dict[str, Any]] = []

    def enqueue(self, charge: dict[str, str]) -> None:
        """Send a webhook about the present state of a capture."""
        body = {"type": f"charge.{charge['state']}", "data": charge}
        raw = json.dumps(body).encode()
        self._queue.put(Delivery(self._secret, f"msg_{uuid4().hex}", raw, time.monotonic()))

    def run(self) -> None:
        while True:
            for delivery in self._next_batch():
                for _ in range(2 if self._double else 1):
                    self._send(delivery)

    def _next_batch(self) -> list[Delivery]:
        batch = [self._queue.get()]
        if self._reorder:
            with suppress(queue.Empty):  # without a second one there is nothing to reorder
                batch.insert(0, self._queue.get(timeout=PAUSE))
        time.sleep(max(0.0, batch[0].created + self._late - time.monotonic()))
        return [each for delivery in batch for each in (*self._forgeries(delivery), delivery)]

    def _forgeries(self, delivery: Delivery) -> list[Delivery]:
        if not self._forge:
            return []
        body = json.loads(delivery.raw)
        body["type"], body["data"]["state"] = "charge.refunded", "refunded"
        raw = json.dumps(body).encode()
        return [replace(delivery, secret=FORGED_SECRET, id=f"msg_{uuid4().hex}", raw=raw)]

    def _send(self, delivery: Delivery) -> None:
        status = 0
        for _ in range(ATTEMPTS):
            status = self._post(delivery)
            if 0 < status < 500:
                break
            time.sleep(PAUSE)
        kind = json.loads(delivery.raw)["type"]
        self.sent.append(
            {"id": delivery.id, "type": kind, "forged": delivery.forged, "status": status}
        )

    def _post(self, delivery: Delivery) -> int:
        """Return the status of the response, or 0 without one."""
        stamp = str(int(time.time()))  # of this attempt, as the standard says
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": stamp,
            "webhook-signature": sign(delivery.secret, delivery.id, stamp, delivery.raw),
        }
        try:
            return self._client.post(self._url, content=delivery.raw, headers=headers).status_code
        except httpx.HTTPError:
            return 0
