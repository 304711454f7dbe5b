"""A bank and a fraud service for development and tests: HTTP, in memory, no database.

payments/gateway/in_memory.py describes the card tokens, payments/management/bank_server.py the
requests.
"""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payments.conf import conf
from payments.management.bank_server import BankServer
from payments.management.webhook_sender import WebhookSender


class Command(BaseCommand):
    help = (
        "Run a fake bank and fraud service over HTTP, for development and tests. Start the shop "
        "with BANK_URL set to its address. Cards: tok_ok, tok_insufficient_funds, tok_fraud, "
        "tok_slow (responds after --slow-seconds, though the money moved), tok_flaky (fails twice)."
        " With --webhooks it sends a webhook after each change of a capture, signed with the first "
        "secret of BANK_WEBHOOK_SECRET; GET /webhooks lists them with the status of the response."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8100, help="0 takes a free one")
        parser.add_argument("--slow-seconds", type=float, default=8.0, help="delay of tok_slow")
        webhooks = parser.add_argument_group("webhooks")
        webhooks.add_argument(
            "--webhooks",
            metavar="URL",
            help="where to send them: http://127.0.0.1:8000/v1/payments/webhooks/bank",
        )
        webhooks.add_argument(
            "--late", metavar="S", type=float, default=0.0, help="delay of each webhook"
        )
        webhooks.add_argument("--double", action="store_true", help="each twice, with the same id")
        webhooks.add_argument(
            "--forge",
            action="store_true",
            help="send a forgery, signed with another secret, before each",
        )
        webhooks.add_argument(
            "--reorder", action="store_true", help="send each two in the reverse order"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        sender = _webhook_sender(**options)
        address = options["host"], options["port"]
        with BankServer(*address, options["slow_seconds"], sender) as server:
            if sender:
                sender.start()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
            self.stdout.write(f"Bank listening on {server.url}")
            self.stdout.flush()
            server.serve_forever(poll_interval=0.1)
        self.stdout.write("Bank stopped.")


def _webhook_sender(
    webhooks: str | None, late: float, double: bool, forge: bool, reorder: bool, **_: Any
) -> WebhookSender | None:
    if not webhooks:
        if late or double or forge or reorder:
            raise CommandError("--late, --double, --forge and --reorder need --webhooks URL.")
        return None
    secrets = conf.WEBHOOK_SECRETS["bank"]
    if not secrets:
        raise CommandError("Set BANK_WEBHOOK_SECRET for runbank and the shop: it signs webhooks.")
    return WebhookSender(
        webhooks, secrets[0], late=late, double=double, forge=forge, reorder=reorder
    )
