"""A bank and a fraud service to run the shop against: HTTP, in memory, no database.

POST /captures, POST /refunds and POST /assessments, each with an Idempotency-Key;
GET /captures/<key>, GET /ledger, and GET /webhooks: those it sent, and what was answered.
What each card token does stands in payments/gateway/fakes.py.
"""

import json
import signal
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payments.conf import conf
from payments.gateway.fakes import Answer, PlayedBank
from payments.management.postman import WebhookSender

MOST_BYTES = 100_000


class BankServer(ThreadingHTTPServer):
    """The played bank's door; `url` is where it is."""

    request_queue_size = 128

    def __init__(
        self, host: str, port: int, slow_seconds: float, postman: WebhookSender | None = None
    ) -> None:
        super().__init__((host, port), Teller)
        self.slow_seconds, self.postman = slow_seconds, postman
        self.bank = PlayedBank(postman.take) if postman else PlayedBank()

    @property
    def url(self) -> str:
        """Return the address, with the port that was found where 0 was asked for."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"


class Teller(BaseHTTPRequestHandler):
    """Serves one caller."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60
    server: BankServer

    def do_GET(self) -> None:
        """Show what became of a capture, or all money that moved."""
        folder, _, key = self.path.strip("/").partition("/")
        if folder == "captures" and key:
            answer = self.server.bank.charge_of(key)
            self._send(answer.status, answer.body)
        elif self.path == "/ledger":
            self._send(200, {"movements": [_shown(m) for m in self.server.bank.ledger]})
        elif self.path == "/webhooks":
            postman = self.server.postman
            self._send(200, {"webhooks": postman.brought if postman else []})
        else:
            self._send(404, {"reason": "no such page"})

    def do_POST(self) -> None:
        """Move money, or judge."""
        try:
            answer = self._answer(self._body())
        except (ValueError, ArithmeticError, KeyError, TypeError) as problem:
            answer = Answer(400, {"reason": f"not understood: {problem}"})
        if answer.slow:
            time.sleep(self.server.slow_seconds)
        self._send(answer.status, answer.body)

    def _answer(self, asked: dict[str, Any]) -> Answer:
        bank, key = self.server.bank, self.headers["Idempotency-Key"]
        amount, currency = Decimal(asked["amount"]), asked["currency"]
        if not (key and amount.is_finite() and amount >= 0):
            raise ValueError("it needs an Idempotency-Key, and an amount that is not negative")
        if self.path == "/captures":
            return bank.capture(key, amount, currency, asked["card"])
        if self.path == "/refunds":
            return bank.refund(key, asked["capture"], amount, currency)
        if self.path == "/assessments":
            return bank.assess(asked["card"])
        return Answer(404, {"reason": "no such page"})

    def _body(self) -> dict[str, Any]:
        length = int(self.headers["Content-Length"] or 0)
        if not 0 <= length <= MOST_BYTES:
            self.close_connection = True
            raise ValueError(f"a body of {length} bytes")
        body = json.loads(self.rfile.read(length))
        if not isinstance(body, dict):
            raise TypeError("an object is needed")
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
            self.close_connection = True  # who asked has gone

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the ledger tells."""


def _shown(movement: Any) -> dict[str, str]:
    return {name: str(value) for name, value in vars(movement).items()}


class Command(BaseCommand):
    help = (
        "Play the bank and the fraud service over HTTP, for development and tests. Run the shop "
        "with BANK_URL set to its address. Cards: tok_ok, tok_insufficient_funds, tok_fraud, "
        "tok_slow (answers after --slow-seconds, though the money moved), tok_flaky (fails twice). "
        "With --webhooks it calls the shop whenever money moved or did not, signed with the first "
        "secret of BANK_WEBHOOK_SECRET; GET /webhooks lists what it sent and what was answered."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8100, help="0 finds a free one")
        parser.add_argument("--slow-seconds", type=float, default=8.0, help="what tok_slow takes")
        calls = parser.add_argument_group("webhooks")
        calls.add_argument(
            "--webhooks",
            metavar="URL",
            help="where to send them: http://127.0.0.1:8000/v1/payments/webhooks/bank",
        )
        calls.add_argument(
            "--late", metavar="S", type=float, default=0.0, help="so many seconds after the event"
        )
        calls.add_argument("--double", action="store_true", help="each twice, with the same id")
        calls.add_argument(
            "--forge",
            action="store_true",
            help="before each a forgery, signed with another secret",
        )
        calls.add_argument(
            "--reorder", action="store_true", help="each two that come close the other way round"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        postman = _postman(**options)
        place = options["host"], options["port"], options["slow_seconds"]
        with BankServer(*place, postman) as server:
            if postman:
                postman.start()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
            self.stdout.write(f"The bank is open at {server.url}")
            self.stdout.flush()
            server.serve_forever(poll_interval=0.1)
        self.stdout.write("The bank is closed.")


def _postman(
    webhooks: str | None, late: float, double: bool, forge: bool, reorder: bool, **_: Any
) -> WebhookSender | None:
    if not webhooks:
        if late or double or forge or reorder:
            raise CommandError("--late, --double, --forge and --reorder need --webhooks URL.")
        return None
    secrets = conf.WEBHOOK_SECRETS["bank"]
    if not secrets:
        raise CommandError("Webhooks are signed: set BANK_WEBHOOK_SECRET, here and for the shop.")
    return WebhookSender(
        webhooks, secrets[0], late=late, double=double, forge=forge, reorder=reorder
    )
