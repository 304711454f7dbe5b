"""The relay as a process of its own; as many as you like."""

import os
import signal
import threading
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus import checks
from eventbus.conf import conf
from eventbus.relay.relay import Relay
from eventbus.relay.transports import transport
from infra import health

log = structlog.get_logger(__name__)

GRACE = 8.0  # seconds for the round under way: supervisors kill after 10, or later


class Command(BaseCommand):
    """See `help`."""

    help = "Carry news from the outbox to the broker until SIGTERM or Ctrl-C. Run several."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --once and --health-port."""
        parser.add_argument("--once", action="store_true", help="dispatch what is there, then end")
        parser.add_argument(
            "--health-port",
            type=int,
            default=conf().HEALTH_PORT,
            help="answer /health/live and /health/ready here (default: HEALTH_PORT)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        checks.enforce()
        carrier = transport()
        if carrier.in_process:
            raise CommandError(
                "The web process has the relay, as no broker is set. Set BROKER_URL to run one."
            )
        relay = Relay(carrier)
        if options["once"]:
            relay.prepare()
            while relay.turn():
                continue
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: _drain(relay))
        if options["health_port"]:
            health.serve(options["health_port"], relay.pulse, conf().HEALTH_HOST)
        self.stdout.write("relay: carrying news")
        relay.run()
        self.stdout.write("relay: stopped")


def _drain(relay: Relay) -> None:
    relay.pulse.draining = True
    threading.Thread(target=relay.stop).start()
    limit = threading.Timer(GRACE, _leave)
    limit.daemon = True
    limit.start()


def _leave() -> None:
    """Go in the middle of a round, as a broker may hang: another relay sends what was claimed."""
    log.warning("the round did not end in time and is left to another relay", seconds=GRACE)
    os._exit(0)
