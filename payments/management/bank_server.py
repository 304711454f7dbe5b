"""The HTTP server of runbank: a bank in memory behind the protocol of `HttpBank`.

POST /captures, POST /refunds and POST /assessments, each with an Idempotency-Key;
GET /captures/<key>, GET /ledger, and GET /webhooks: those that were sent, and the status of each
response.
"""

import json
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from payments.gateway.in_memory import InMemoryBank, Response
from payments.management.webhook_sender import WebhookSender

MAX_BODY_BYTES = 100_000


class BankServer(ThreadingHTTPServer):
    """The HTTP server of a bank in memory."""

    request_queue_size = 128

    def __init__(
        self, host: str, port: int, slow_seconds: float, sender: WebhookSender | None = None
    ) -> None:
        super().__init__((host, port), BankRequestHandler)
        self.slow_seconds, self.sender = slow_seconds, sender
        self.bank = InMemoryBank(sender.enqueue) if sender else InMemoryBank()

    @property
    def url(self) -> str:
        """Return the address, with the real port if it was started with port 0."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"


class BankRequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    server: BankServer

    def do_GET(self) -> None:
        path, _, key = self.path.strip("/").partition("/")
        if path == "captures" and key:
            response = self.server.bank.charge_of(key)
            self._send(response.status, response.body)
        elif self.path == "/ledger":
            self._send(200, {"movements": [_as_json(m) for m in self.server.bank.ledger]})
        elif self.path == "/webhooks":
            sender = self.server.sender
            self._send(200, {"webhooks": sender.sent if sender else []})
        else:
            self._send(404, {"reason": "no such page"})

    def do_POST(self) -> None:
        try:
            response = self._handle(self._body())
        except (ValueError, ArithmeticError, KeyError, TypeError) as error:
            response = Response(400, {"reason": f"not understood: {error}"})
        if response.slow:
            time.sleep(self.server.slow_seconds)
        self._send(response.status, response.body)

    def _handle(self, body: dict[str, Any]) -> Response:
        bank, key = self.server.bank, self.headers["Idempotency-Key"]
        amount, currency = Decimal(body["amount"]), body["currency"]
        if not (key and amount.is_finite() and amount >= 0):
            raise ValueError("an Idempotency-Key is missing, or the amount is negative")
        if self.path == "/captures":
            return bank.capture(key, amount, currency, body["card"])
        if self.path == "/refunds":
            return bank.refund(key, body["capture"], amount, currency)
        if self.path == "/assessments":
            return bank.assess(body["card"])
        return Response(404, {"reason": "no such page"})

    def _body(self) -> dict[str, Any]:
        length = int(self.headers["Content-Length"] or 0)
        if not 0 <= length <= MAX_BODY_BYTES:
            self.close_connection = True
            raise ValueError(f"the body has {length} bytes")
        body = json.loads(self.rfile.read(length))
        if not isinstance(body, dict):
            raise TypeError("the body is not a JSON object")
        return body

    def _send(self, status: int, body: Any) -> None:
        raw = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
        except ConnectionError:
            self.close_connection = True  # the caller has closed it already

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: GET /ledger lists the requests that moved money."""


def _as_json(movement: Any) -> dict[str, str]:
    return {name: str(value) for name, value in vars(movement).items()}
