"""One process for everything: the relay as a thread beside the web server.

A file lock keeps it one relay, also under the autoreloader and beside commands.
"""

import fcntl
import os
import threading
from pathlib import Path
from typing import IO

from eventbus.conf import conf
from eventbus.relay import Relay
from eventbus.transports import transport

_running: tuple[Relay, threading.Thread, IO[str]] | None = None


def start() -> Relay | None:
    """Start the relay's thread where the transport wants one and no other process has it."""
    global _running
    carrier = transport()
    if not carrier.in_process or _running:
        return _running[0] if _running else None
    lock = _lock()
    if lock is None:
        return None
    relay = Relay(carrier)
    thread = threading.Thread(target=relay.run, name="relay", daemon=True)
    _running = (relay, thread, lock)
    thread.start()
    return relay


def stop(seconds: float = 10.0) -> None:
    """Let the relay finish what is under way, for so long at the most."""
    global _running
    if _running:
        relay, thread, lock = _running
        relay.stop()
        thread.join(seconds)
        lock.close()
        _running = None


def relay() -> Relay | None:
    """Return this process's relay, if it has one."""
    return _running[0] if _running else None


def elsewhere() -> bool:
    """Whether another process of this machine has the relay: asked without touching its lock."""
    try:
        owner = int(Path(conf().LOCKFILE).read_text())
        os.kill(owner, 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return owner != os.getpid()


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
