"""The relay as a process of its own; several may run."""

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

GRACE = 8.0  # seconds for the running iteration: supervisors kill after 10 or more


class Command(BaseCommand):
    help = "Send events from the outbox to the broker, until SIGTERM or Ctrl-C. Several may run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="send pending events, then exit")
        parser.add_argument(
            "--health-port",
            type=int,
            default=conf().HEALTH_PORT,
            help="port of /health/live and /health/ready (default: HEALTH_PORT)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        checks.enforce()
        message_transport = transport()
        if message_transport.in_process:
            raise CommandError(
                "No broker is configured, so the relay runs in the web process. Set BROKER_URL."
            )
        relay = Relay(message_transport)
        if options["once"]:
            relay.prepare()
            while relay.run_once():
                continue
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: _drain(relay))
        if options["health_port"]:
            health.serve(options["health_port"], relay.heartbeat, conf().HEALTH_HOST)
        self.stdout.write("relay: started")
        relay.run()
        self.stdout.write("relay: stopped")


def _drain(relay: Relay) -> None:
    relay.heartbeat.draining = True
    threading.Thread(target=relay.stop).start()
    limit = threading.Timer(GRACE, _exit)
    limit.daemon = True
    limit.start()


def _exit() -> None:
    """Exit during an iteration, as the broker may hang; another relay sends the claimed events."""
    log.warning("relay iteration did not end in time", seconds=GRACE)
    os._exit(0)
