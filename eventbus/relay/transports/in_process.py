"""Transport without a broker: the relay's own thread runs the same task in place.

External consumers run in a small thread pool, so that a slow bank does not delay other events.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.db import close_old_connections, connection

from eventbus import registry
from eventbus.conf import conf
from eventbus.consuming import tasks
from eventbus.publishing import wakeup
from eventbus.relay.transports import Message
from infra import database_session

log = structlog.get_logger(__name__)


class Embedded:
    """Messages stay in the process; the dispatches in the database outlive it."""

    in_process = True

    def __init__(self) -> None:
        # The web process keeps the time-outs of its server, deliveries in these threads do not.
        self._pool = ThreadPoolExecutor(
            conf().EXTERNAL_THREADS, "external", database_session.lift_limits_in_this_thread
        )
        self._in_flight: set[int] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def send(self, messages: Sequence[Message]) -> list[int]:
        """Run each message's consumer; a delivery that was not recorded stays unconfirmed."""
        return [message.dispatch for message in messages if self._deliver(message)]

    def send_marker(self, queue: str, sent_at: str) -> None:
        """Send nothing: messages in this process are lost only with the process."""

    def close(self) -> None:
        """Wait for running calls; drop those not begun, whose dispatches remain."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _deliver(self, message: Message) -> bool:
        consumer = registry.consumers.get(message.consumer)
        if consumer is None or not consumer.external:
            return _run(message)
        with self._lock:
            if message.dispatch not in self._in_flight:
                self._in_flight.add(message.dispatch)
                self._pool.submit(self._call, message)
        return True

    def _call(self, message: Message) -> None:
        close_old_connections()
        try:
            while not _run(message) and not self._closing.wait(conf().BROKER_RETRY_INTERVAL):
                continue
        finally:
            with self._lock:
                self._in_flight.discard(message.dispatch)
            connection.close()
            wakeup.wake_relays()


def _run(message: Message) -> bool:
    try:
        tasks.deliver(message.dispatch, message.consumer, message.text, message.suspect)
    except Exception:
        log.exception("delivery not recorded", consumer=message.consumer, dispatch=message.dispatch)
        return False
    return True
