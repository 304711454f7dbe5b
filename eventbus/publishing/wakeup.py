"""Wake the relays after a commit. A notification may be lost: polling finds the event anyway.

In one process a `threading.Event` does it. Across processes it is a NOTIFY in autocommit, at most
one in 2 ms: a NOTIFY in every transaction costs 29 to 35 % of the commits.
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
_MIN_NOTIFY_INTERVAL = 0.002  # seconds
_wake_event = threading.Event()
_notifier: "Notifier | None" = None


def wake_relays() -> None:
    """Wake the relay of this process, and those of other processes."""
    global _notifier
    wake_threads()
    if connection.vendor == "postgresql" and getattr(settings, "CELERY_BROKER_URL", None):
        if _notifier is None or _notifier.process != os.getpid():
            _notifier = Notifier()
        _notifier.notify()


def wake_threads() -> None:
    """Wake the relay of this process."""
    _wake_event.set()


class Notifier:
    """Sends the NOTIFYs of a process from a thread with a connection of its own."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._requested = threading.Event()
        threading.Thread(target=self._run, name="notifier", daemon=True).start()

    def notify(self) -> None:
        """Request a NOTIFY."""
        self._requested.set()

    def _run(self) -> None:
        while True:
            self._requested.wait()
            self._requested.clear()
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"NOTIFY {CHANNEL}")
            except Exception as error:
                log.debug("notification lost", reason=str(error))
                connection.close()
            time.sleep(_MIN_NOTIFY_INTERVAL)  # requests made meanwhile share the next NOTIFY


@contextmanager
def listening(in_process: bool) -> Iterator[Callable[[float], None]]:
    """Give a function that waits for a wake-up, at most so many seconds."""
    if in_process or connection.vendor != "postgresql":
        yield _wait_for_thread
        return
    listener = Listener()
    try:
        yield listener.wait
    finally:
        listener.close()


def _wait_for_thread(seconds: float) -> None:
    _wake_event.wait(seconds)
    _wake_event.clear()


class Listener:
    """Listens with a connection of its own; while that fails, it only waits."""

    def __init__(self) -> None:
        self._connection = connection.copy("listener")

    def wait(self, seconds: float) -> None:
        """Return after a notification, or after so many seconds."""
        try:
            if self._connection.connection is None:
                self._connection.ensure_connection()
                self._connection.set_autocommit(True)
                with self._connection.cursor() as cursor:
                    cursor.execute(f"LISTEN {CHANNEL}")
            for _ in self._connection.connection.notifies(timeout=seconds, stop_after=1):
                return
        except Exception as error:
            log.debug("not listening", reason=str(error))
            self.close()
            _wait_for_thread(seconds)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
