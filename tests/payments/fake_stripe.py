"""The part of Stripe's API that payments uses, on the loopback interface.

tok_visa pays; tok_chargeDeclined is declined; tok_lost loses the connection before the capture,
tok_slow after it; tok_500 is an error of the server; other tokens do not exist.
"""

import itertools
import json
import re
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, Any]]
Form = dict[str, str]

KEY, SECRET = "sk_test_standin", "whsec_standin"


class FakeStripe(ThreadingHTTPServer):
    """An empty account."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RequestHandler)
        self.requests: list[tuple[str, str, Form]] = []
        self.intents: dict[str, dict[str, Any]] = {}
        self.refunds: list[dict[str, Any]] = []
        self.indexed = True  # whether the search finds new intents
        self.fixed_answer: Answer | None = None
        self._kept: dict[str, tuple[Form, Answer]] = {}
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def forget_keys(self) -> None:
        """Drop the idempotency keys, as after a day."""
        self._kept.clear()

    def once(self, key: str, form: Form, act: Callable[[Form], Answer]) -> Answer:
        """Return the first answer under this key again, also an error of the server."""
        if key not in self._kept:
            answer = act(form)
            if answer[0] in (400, 404):  # refused before it began, so the key is not kept
                return answer
            self._kept[key] = form, answer
        known, answer = self._kept[key]
        if known != form:
            return _error(400, "idempotency_error", "Keys for idempotent requests can only be ...")
        return answer

    def make_intent(self, form: Form) -> Answer:
        assert form["confirm"] == "true" and form["error_on_requires_action"] == "true"
        card = form.get("payment_method_data[card][token]") or form.get("payment_method", "")
        if card == "tok_500":
            return _error(500, "api_error", "An unknown error occurred")
        if card == "tok_lost":
            raise ConnectionAbortedError
        if card not in ("tok_visa", "tok_slow", "tok_chargeDeclined", "pm_card_visa"):
            return _error(
                400, "invalid_request_error", f"No such token: '{card}'", "resource_missing"
            )
        intent = self._intent(form, "succeeded")
        if card == "tok_chargeDeclined":
            intent["status"], intent["latest_charge"]["paid"] = "requires_payment_method", False
            error = {"type": "card_error", "code": "card_declined"}
            error["message"] = "Your card was declined."
            intent["last_payment_error"] = error
            return 402, {"error": {**error, "payment_intent": _flat(intent)}}
        return 200, _flat(intent)

    def _intent(self, form: Form, status: str) -> dict[str, Any]:
        number = next(self._numbers)
        sums = {"amount": int(form["amount"]), "currency": form["currency"]}
        metadata = {k[9:-1]: v for k, v in form.items() if k.startswith("metadata[")}
        charge = {
            **{"id": f"ch_{number}", "object": "charge", **sums, "amount_refunded": 0},
            **{"refunded": False, "paid": True, "payment_intent": f"pi_{number}"},
            "metadata": metadata,
        }
        intent = {
            **{"id": f"pi_{number}", "object": "payment_intent", **sums, "status": status},
            **{"metadata": metadata, "latest_charge": charge, "last_payment_error": None},
        }
        self.intents[intent["id"]] = intent
        return intent

    def make_refund(self, form: Form) -> Answer:
        charge = self.intents[form["payment_intent"]]["latest_charge"]
        if charge["refunded"]:
            message = "Charge ch_ has already been refunded."
            return _error(400, "invalid_request_error", message, "charge_already_refunded")
        charge["amount_refunded"] += int(form["amount"])
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        refund = {
            **{"id": f"re_{next(self._numbers)}", "object": "refund", "status": "succeeded"},
            **{"payment_intent": form["payment_intent"], "amount": int(form["amount"])},
        }
        self.refunds.insert(0, refund)
        return 200, refund

    def search(self, form: Form) -> Answer:
        (key,) = re.findall(r"^metadata\['key'\]:'([\w-]+)'$", form["query"])
        assert form["expand[0]"] == "data.latest_charge"
        found = [i for i in self.intents.values() if self.indexed and i["metadata"]["key"] == key]
        return 200, {"object": "search_result", "data": found, "has_more": False}

    def retrieve(self, id: str) -> Answer:
        if id not in self.intents:
            message = f"No such payment_intent: '{id}'"
            return _error(404, "invalid_request_error", message, "resource_missing")
        return 200, self.intents[id]


class RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeStripe

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        form = _form(url.query)
        path = url.path.removeprefix("/v1/")
        self._serve(path, form, lambda: self._read(path, form))

    def do_POST(self) -> None:
        form = _form(self.rfile.read(int(self.headers["Content-Length"] or 0)).decode())
        path, key = self.path.removeprefix("/v1/"), self.headers["Idempotency-Key"]
        makers = {"payment_intents": self.server.make_intent, "refunds": self.server.make_refund}
        self._serve(path, form, lambda: self.server.once(key, form, makers[path]))
        if form.get("payment_method_data[card][token]") == "tok_slow":
            self.close_connection = True

    def _read(self, path: str, form: Form) -> Answer:
        if path == "payment_intents/search":
            return self.server.search(form)
        if path == "refunds":
            return 200, {"object": "list", "data": self.server.refunds, "has_more": False}
        return self.server.retrieve(path.removeprefix("payment_intents/"))

    def _serve(self, path: str, form: Form, act: Callable[[], Answer]) -> None:
        self.server.requests.append((self.command, path, form))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            answer = _error(401, "invalid_request_error", "Invalid API Key provided")
        else:
            try:
                answer = self.server.fixed_answer or act()
            except ConnectionAbortedError:
                self.close_connection = True
                return
        if form.get("payment_method_data[card][token]") == "tok_slow":
            time.sleep(0.6)
        self._send(*answer)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Request-Id", "req_1")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _form(text: str) -> Form:
    return {name: values[0] for name, values in parse_qs(text).items()}


def _flat(intent: dict[str, Any]) -> dict[str, Any]:
    """Return the intent as Stripe does when nothing is expanded."""
    return {**intent, "latest_charge": intent["latest_charge"]["id"]}


def _error(status: int, kind: str, message: str, code: str | None = None) -> Answer:
    return status, {"error": {"type": kind, "message": message, "code": code}}
