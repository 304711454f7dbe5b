"""The embedded relay: a thread of the web process.

A file lock allows one relay per machine, also under the autoreloader and beside commands.
"""

import fcntl
import os
import threading
from pathlib import Path
from typing import IO

import structlog

from eventbus.conf import conf
from eventbus.relay.relay import Relay
from eventbus.relay.repeated_errors import RepeatedErrors
from eventbus.relay.transports import Transport, transport

log = structlog.get_logger(__name__)

ELSEWHERE = "another process has the relay"
_TAKEOVER_INTERVAL = 0.5  # seconds between two attempts to get the lock
_running: "RelayThread | None" = None


class RelayThread:
    """Runs the relay once it has the file lock; until then another process runs one."""

    def __init__(self, message_transport: Transport) -> None:
        self.relay = Relay(message_transport)
        self._stopping = threading.Event()
        self._errors = RepeatedErrors("relay thread failed")
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            lock = _lock()
            if lock:
                with lock:
                    self._run_relay()
                return
            self.relay.heartbeat.pause(ELSEWHERE)
            self._stopping.wait(_TAKEOVER_INTERVAL)

    def _run_relay(self) -> None:
        """Run the relay until it is stopped; an error that ended it starts it again."""
        ended = False
        while not (ended or self._stopping.is_set()):
            try:
                self.relay.run()
                ended = True
            except BaseException as error:
                self._errors.log(error)
                self._stopping.wait(_TAKEOVER_INTERVAL)

    def stop(self, seconds: float) -> None:
        """End after the current iteration; wait for it for so many seconds."""
        self._stopping.set()
        self.relay.stop()
        self._thread.join(seconds)


def start() -> Relay | None:
    """Start the relay's thread, if the transport needs one in this process."""
    global _running
    if _running is None:
        message_transport = transport()
        if message_transport.in_process:
            _running = RelayThread(message_transport)
    return relay()


def stop(seconds: float = 10.0) -> None:
    """Stop the relay's thread after its current iteration; wait for so many seconds."""
    global _running
    if _running:
        _running.stop(seconds)
        _running = None


def relay() -> Relay | None:
    """Return this process's relay, if it has one."""
    return _running.relay if _running else None


def _lock() -> IO[str] | None:
    path = Path(conf().LOCKFILE)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
