"""No broker: the relay's own thread runs the very same task in place.

Consumers that call outside run in a small pool, so that a slow bank does not stop the news.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.db import close_old_connections, connection

from eventbus import kick, registry, tasks
from eventbus.conf import conf
from eventbus.transports import Parcel

log = structlog.get_logger(__name__)


class Embedded:
    """Messages never leave the process; the flights in the database outlive it."""

    in_process = True

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(conf().OUTSIDE_THREADS, thread_name_prefix="outside")
        self._busy: set[int] = set()
        self._guard = threading.Lock()
        self._closing = threading.Event()

    def send(self, parcels: Sequence[Parcel]) -> list[int]:
        """Run each message's consumer; what could not be recorded stays unconfirmed."""
        return [parcel.flight for parcel in parcels if self._take(parcel)]

    def tick(self, queue: str, sent_at: str) -> None:
        """Do nothing: what is in this process is not lost without it."""

    def close(self) -> None:
        """Wait for the calls under way; drop those that have not begun, their flights remain."""
        self._closing.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _take(self, parcel: Parcel) -> bool:
        consumer = registry.consumers.get(parcel.consumer)
        if consumer is None or not consumer.outside:
            return _run(parcel)
        with self._guard:
            if parcel.flight not in self._busy:
                self._busy.add(parcel.flight)
                self._pool.submit(self._call, parcel)
        return True

    def _call(self, parcel: Parcel) -> None:
        close_old_connections()
        try:
            while not _run(parcel) and not self._closing.wait(conf().BROKER_PAUSE):
                continue
        finally:
            with self._guard:
                self._busy.discard(parcel.flight)
            connection.close()
            kick.relay()


def _run(parcel: Parcel) -> bool:
    try:
        tasks.deliver(parcel.flight, parcel.consumer, parcel.wire, parcel.suspect)
    except Exception:
        log.exception("delivery not recorded", consumer=parcel.consumer, flight=parcel.flight)
        return False
    return True
