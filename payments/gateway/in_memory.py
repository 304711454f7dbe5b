"""A bank and fraud service in memory, for development and tests.

`fakes` uses it in this process, `manage.py runbank` over HTTP. The card's token decides:
tok_ok succeeds; tok_insufficient_funds is declined; tok_fraud fails the fraud check; tok_flaky
gets 503 twice; tok_slow gets its response after the caller's time-out, though the money moved.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5


@dataclass(frozen=True)
class Response:
    """A response in the terms of HTTP; a slow one is sent after the caller's time-out."""

    status: int
    body: dict[str, str]
    slow: bool = False


@dataclass(frozen=True)
class Movement:
    """Money that moved."""

    kind: str
    key: str
    reference: str
    amount: Decimal
    currency: str


class InMemoryBank:
    """Moves pretended money, once for each key; a restart empties it.

    on_change: called with the state of a capture whenever it changes.
    """

    def __init__(self, on_change: Callable[[dict[str, str]], None] = lambda charge: None) -> None:
        self.ledger: list[Movement] = []
        self._on_change = on_change
        self._responses: dict[str, tuple[tuple[object, ...], Response]] = {}
        self._requests: Counter[str] = Counter()
        self._refundable: dict[str, Decimal] = {}
        self._lock = threading.Lock()

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> Response:
        """Take money, or decline with a reason."""

        def take() -> Response:
            if card == "tok_insufficient_funds":
                return Response(402, {"reason": "insufficient funds"})
            return self._move("capture", key, amount, currency)

        with self._lock:
            self._requests[key] += 1
            if card == "tok_flaky" and self._requests[key] <= 2:
                return Response(503, {"reason": "out of order"})
            response = self._once(key, ("capture", amount, currency, card), take)
            return replace(response, slow=card == "tok_slow" and self._requests[key] == 1)

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> Response:
        """Refund money. After a restart the amount of the capture is unknown and not checked."""

        def give() -> Response:
            left = self._refundable.get(reference, amount)
            if amount > left:
                return Response(422, {"reason": f"only {left} of {reference} is left"})
            self._refundable[reference] = left - amount
            return self._move("refund", key, amount, currency)

        with self._lock:
            return self._once(key, ("refund", reference, amount, currency), give)

    def assess(self, card: str) -> Response:
        """Assess a payment by the card's token."""
        if card == "tok_fraud":
            return Response(200, {"verdict": "fraud", "reason": "the card was reported stolen"})
        return Response(200, {"verdict": "passed", "reason": ""})

    def charge_of(self, key: str) -> Response:
        """Describe a capture."""
        with self._lock:
            return self._charge(key)

    def _charge(self, key: str) -> Response:
        match self._responses.get(key):
            case ("capture", amount, currency, _), response:
                request = {"key": key, "amount": str(amount), "currency": str(currency)}
                keys = ("reference", "reason")
                result = {k: v for k, v in response.body.items() if k in keys}
                state = self._state(response, amount)
                return Response(200, {"state": state, **request, **result})
        return Response(404, {"state": "none", "reason": f"no capture has the key {key}"})

    def _state(self, response: Response, amount: object) -> str:
        if response.status == 402:
            return "declined"
        # A capture of nothing cannot be refunded.
        refunded = amount and self._refundable[response.body["reference"]] == 0
        return "refunded" if refunded else "captured"

    def _once(self, key: str, request: tuple[object, ...], act: Callable[[], Response]) -> Response:
        if key not in self._responses:
            self._responses[key] = request, act()
            self._notify(key, request)
        known, response = self._responses[key]
        if known != request:
            return Response(422, {"reason": "this key was used for another request"})
        return response

    def _notify(self, key: str, request: tuple[object, ...]) -> None:
        keys = [key] if request[0] == "capture" else self._captures(request[1])
        for capture in keys:
            self._on_change(self._charge(capture).body)

    def _captures(self, reference: object) -> list[str]:
        return [m.key for m in self.ledger if m.kind == "capture" and m.reference == reference]

    def _move(self, kind: str, key: str, amount: Decimal, currency: str) -> Response:
        # Made of the key, so that a bank that was restarted gives the same reference again.
        reference = f"{kind}_{uuid5(NAMESPACE_URL, key).hex}"
        self.ledger.append(Movement(kind, key, reference, amount, currency))
        if kind == "capture":
            self._refundable[reference] = amount
        return Response(201, {"reference": reference, "status": "succeeded"})
