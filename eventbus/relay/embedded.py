"""One process for everything: the relay as a thread beside the web server.

A file lock keeps it one relay, also under the autoreloader and beside commands.
"""

import fcntl
import os
import threading
from pathlib import Path
from typing import IO

from eventbus.conf import conf
from eventbus.relay.relay import Relay
from eventbus.relay.transports import Transport, transport

ELSEWHERE = "another process has the relay"
_resident: "Resident | None" = None


class Resident:
    """The relay's thread. While another process has the relay it waits to take over."""

    def __init__(self, carrier: Transport) -> None:
        self.relay = Relay(carrier)
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._live, name="relay", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        while not self._leaving.is_set():
            lock = _lock()
            if lock:
                with lock:
                    self.relay.run()
                return
            self.relay.heartbeat.pause(ELSEWHERE)
            self._leaving.wait(0.5)

    def leave(self, seconds: float) -> None:
        """Finish what is under way, for so long at the most."""
        self._leaving.set()
        self.relay.stop()
        self._thread.join(seconds)


def start() -> Relay | None:
    """Start the relay's thread, where the transport wants one in this process."""
    global _resident
    if _resident is None:
        carrier = transport()
        if carrier.in_process:
            _resident = Resident(carrier)
    return relay()


def stop(seconds: float = 10.0) -> None:
    """Let the relay finish what is under way, for so long at the most."""
    global _resident
    if _resident:
        _resident.leave(seconds)
        _resident = None


def relay() -> Relay | None:
    """Return this process's relay, if it has one."""
    return _resident.relay if _resident else None


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
