"""How runbank calls the shop: signed as it should be, and otherwise as badly as it is told to."""

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

TRIES = 5
PAUSE = 1.0  # seconds between two tries, and how long one webhook waits to be overtaken
FORGER = "whsec_Zm9yZ2VkIQ=="


@dataclass(frozen=True)
class Letter:
    """One webhook; who signs it is part of it."""

    secret: str
    id: str
    raw: bytes
    happened: float


class WebhookSender(threading.Thread):
    """Brings what happened to an address, one after the other, and keeps a list of it.

    late: seconds after it happened. double: everything twice. forge: a forgery before each.
    reorder: each two the other way round.
    """

    def __init__(
        self, url: str, secret: str, *, late: float, double: bool, forge: bool, reorder: bool
    ) -> None:
        super().__init__(daemon=True, name="postman")
        self._url, self._secret, self._late = url, secret, late
        self._double, self._forge, self._reorder = double, forge, reorder
        self._bag: queue.Queue[Letter] = queue.Queue()
        self._client = httpx.Client(timeout=10)
        self.brought: list[dict[str, Any]] = []

    def take(self, charge: dict[str, str]) -> None:
        """Write a webhook about how a capture stands now."""
        body = {"type": f"charge.{charge['state']}", "data": charge}
        raw = json.dumps(body).encode()
        self._bag.put(Letter(self._secret, f"msg_{uuid4().hex}", raw, time.monotonic()))

    def run(self) -> None:
        """Bring one round after the other."""
        while True:
            for letter in self._round():
                for _ in range(2 if self._double else 1):
                    self._bring(letter)

    def _round(self) -> list[Letter]:
        letters = [self._bag.get()]
        if self._reorder:
            with suppress(queue.Empty):  # nothing comes to overtake it
                letters.insert(0, self._bag.get(timeout=PAUSE))
        time.sleep(max(0.0, letters[0].happened + self._late - time.monotonic()))
        return [sent for letter in letters for sent in (*self._forged(letter), letter)]

    def _forged(self, letter: Letter) -> list[Letter]:
        """Write what somebody would who does not know the secret: that the money went back."""
        told = json.loads(letter.raw)
        told["type"], told["data"]["state"] = "charge.refunded", "refunded"
        raw = json.dumps(told).encode()
        forgery = replace(letter, secret=FORGER, id=f"msg_{uuid4().hex}", raw=raw)
        return [forgery] if self._forge else []

    def _bring(self, letter: Letter) -> None:
        status = 0
        for _ in range(TRIES):
            status = self._posted(letter)
            if 0 < status < 500:
                break
            time.sleep(PAUSE)
        forged = letter.secret == FORGER
        told = {"id": letter.id, "type": json.loads(letter.raw)["type"]}
        self.brought.append({**told, "forged": forged, "status": status})

    def _posted(self, letter: Letter) -> int:
        """Return the status, or 0 where nobody answered. Each try has the time it is made at."""
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": letter.id,
            "webhook-timestamp": stamp,
            "webhook-signature": sign(letter.secret, letter.id, stamp, letter.raw),
        }
        try:
            return self._client.post(self._url, content=letter.raw, headers=headers).status_code
        except httpx.HTTPError:
            return 0
