"""Wake the relays after a commit. A kick may be lost: polling finds it anyway.

In one process it is a thread's event. Across processes it is one NOTIFY in autocommit, coalesced
over some milliseconds: a NOTIFY in every transaction costs 29 to 35 % of the commits.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from django.conf import settings
from django.db import connection

log = structlog.get_logger(__name__)

CHANNEL = "eventbus"
_COALESCE = 0.002  # seconds
woken = threading.Event()
_notifier: "Notifier | None" = None


def wake_relays() -> None:
    """Say that there is something to do."""
    global _notifier
    woken.set()
    if connection.vendor == "postgresql" and getattr(settings, "CELERY_BROKER_URL", None):
        if _notifier is None or _notifier.process != os.getpid():
            _notifier = Notifier()
        _notifier.ring()


class Notifier:
    """Notifies for a whole process from a thread with a connection of its own."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._asked = threading.Event()
        threading.Thread(target=self._live, name="bell", daemon=True).start()

    def ring(self) -> None:
        """Ask for a NOTIFY soon."""
        self._asked.set()

    def _live(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"NOTIFY {CHANNEL}")
            except Exception as away:
                log.debug("kick lost", reason=str(away))
                connection.close()
            time.sleep(_COALESCE)  # whoever asks meanwhile is answered together


@contextmanager
def listening(by_thread: bool) -> Iterator[Callable[[float], None]]:
    """Give a function that sleeps until kicked, or for so many seconds at the most."""
    if by_thread or connection.vendor != "postgresql":
        yield _wait_for_thread
        return
    ear = Listener()
    try:
        yield ear.wait
    finally:
        ear.close()


def _wait_for_thread(seconds: float) -> None:
    woken.wait(seconds)
    woken.clear()


class Listener:
    """Listens with a connection of its own; where that is away, it sleeps."""

    def __init__(self) -> None:
        self._connection = connection.copy("ear")

    def wait(self, seconds: float) -> None:
        """Sleep until notified, or for so long."""
        try:
            if self._connection.connection is None:
                self._connection.ensure_connection()
                self._connection.set_autocommit(True)
                with self._connection.cursor() as cursor:
                    cursor.execute(f"LISTEN {CHANNEL}")
            for _ in self._connection.connection.notifies(timeout=seconds, stop_after=1):
                return
        except Exception as away:
            log.debug("not listening", reason=str(away))
            self.close()
            _wait_for_thread(seconds)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
