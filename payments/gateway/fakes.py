"""A bank and a fraud service to try things with: one logic, two doors.

The fakes open it in this process, `manage.py runbank` over HTTP. The card's token decides:
tok_ok succeeds; tok_insufficient_funds is declined; tok_fraud fails the fraud check; tok_flaky
is answered 503 twice; tok_slow is answered when nobody waits any more, though the money moved.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from payments.errors import NoClearAnswer
from payments.gateway.port import Charge, Verdict, charge_in, reference_in, verdict_in


@dataclass(frozen=True)
class Answer:
    """What comes back, in the terms of HTTP; a slow one comes too late for the one who asked."""

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


class PlayedBank:
    """Moves pretended money, once for each key; knows nothing after a restart.

    A reference is made of its key, so that also a bank that forgot gives the same one again.
    """

    def __init__(self, tell: Callable[[dict[str, str]], None] = lambda charge: None) -> None:
        self.ledger: list[Movement] = []
        self._tell = tell  # hears how a capture stands whenever that changes
        self._answers: dict[str, tuple[tuple[object, ...], Answer]] = {}
        self._asked: Counter[str] = Counter()
        self._left: dict[str, Decimal] = {}
        self._lock = threading.Lock()

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> Answer:
        """Take money, or say why not."""

        def take() -> Answer:
            if card == "tok_insufficient_funds":
                return Answer(402, {"reason": "insufficient funds"})
            return self._move("capture", key, amount, currency)

        with self._lock:
            self._asked[key] += 1
            if card == "tok_flaky" and self._asked[key] <= 2:
                return Answer(503, {"reason": "out of order"})
            answer = self._once(key, ("capture", amount, currency, card), take)
            return replace(answer, slow=card == "tok_slow" and self._asked[key] == 1)

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> Answer:
        """Give money back, never more than came as far as is known."""

        def give() -> Answer:
            left = self._left.get(reference, amount)
            if amount > left:
                return Answer(422, {"reason": f"only {left} of {reference} is left"})
            self._left[reference] = left - amount
            return self._move("refund", key, amount, currency)

        with self._lock:
            return self._once(key, ("refund", reference, amount, currency), give)

    def assess(self, card: str) -> Answer:
        """Judge by the token."""
        if card == "tok_fraud":
            return Answer(200, {"verdict": "fraud", "reason": "the card was reported stolen"})
        return Answer(200, {"verdict": "passed", "reason": ""})

    def charge_of(self, key: str) -> Answer:
        """Say how a capture stands."""
        with self._lock:
            return self._charge(key)

    def _charge(self, key: str) -> Answer:
        match self._answers.get(key):
            case ("capture", amount, currency, _), answer:
                asked = {"key": key, "amount": str(amount), "currency": str(currency)}
                told = {k: v for k, v in answer.body.items() if k in ("reference", "reason")}
                return Answer(200, {"state": self._state(answer, amount), **asked, **told})
        return Answer(404, {"state": "none", "reason": f"no capture has the key {key}"})

    def _state(self, answer: Answer, amount: object) -> str:
        if answer.status == 402:
            return "declined"
        # The whole of it went back; of nothing, nothing can.
        gone = amount and self._left[answer.body["reference"]] == 0
        return "refunded" if gone else "captured"

    def _once(self, key: str, request: tuple[object, ...], act: Callable[[], Answer]) -> Answer:
        if key not in self._answers:
            self._answers[key] = request, act()
            self._told(key, request)
        known, answer = self._answers[key]
        if known != request:
            return Answer(422, {"reason": "this key was used for something else"})
        return answer

    def _told(self, key: str, request: tuple[object, ...]) -> None:
        """Tell how the capture stands that this request made or changed."""
        keys = [key] if request[0] == "capture" else self._captures(request[1])
        for capture in keys:
            self._tell(self._charge(capture).body)

    def _captures(self, reference: object) -> list[str]:
        return [m.key for m in self.ledger if m.kind == "capture" and m.reference == reference]

    def _move(self, kind: str, key: str, amount: Decimal, currency: str) -> Answer:
        reference = f"{kind}_{uuid5(NAMESPACE_URL, key).hex}"
        self.ledger.append(Movement(kind, key, reference, amount, currency))
        if kind == "capture":
            self._left[reference] = amount
        return Answer(201, {"reference": reference, "status": "succeeded"})


class FakeBank:
    """The bank in this process. It does not make anybody wait."""

    def __init__(self, played: PlayedBank) -> None:
        self._played = played

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> str:
        """See the port."""
        answer = self._played.capture(key, amount, currency, card)
        if answer.slow:
            raise NoClearAnswer(who="The bank", problem="timed out")
        return reference_in(answer.status, answer.body)

    def refund(self, key: str, reference: str, amount: Decimal, currency: str) -> str:
        """See the port."""
        answer = self._played.refund(key, reference, amount, currency)
        return reference_in(answer.status, answer.body)

    def charge_of(self, key: str, reference: str = "") -> Charge | None:
        """See the port; the key is enough."""
        answer = self._played.charge_of(key)
        return charge_in(answer.status, answer.body)


class FakeFraudDesk:
    """The fraud service in this process."""

    def __init__(self, played: PlayedBank) -> None:
        self._played = played

    def assess(self, key: str, amount: Decimal, currency: str, card: str, country: str) -> Verdict:
        """See the port."""
        answer = self._played.assess(card)
        return verdict_in(answer.status, answer.body)
