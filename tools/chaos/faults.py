"""Injects faults: each method does one, and reports whether it came about."""

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tools.chaos import observe
from tools.chaos.brokers import Broker
from tools.chaos.cluster import Cluster
from tools.chaos.disk import Disk
from tools.chaos.observe import Observer
from tools.chaos.plan import OPERATORS, Fault
from tools.chaos.progress import Stuck
from tools.chaos.server_faults import ServerFaults
from tools.devserver.servers import Postgres

FREEZE_SECONDS = 3.0  # longer than SEND_DEADLINE
FAILPOINT_TIMEOUT = 6.0
# Longer: an event has to come through all that waits before it.
DELIVERY_TIMEOUT = 30.0
MAX_SNAPSHOT_SECONDS = 30.0


@dataclass
class Injector(ServerFaults):
    """Injects faults into a cluster, its database and its broker."""

    cluster: Cluster
    database: Postgres | None
    broker: Broker | None
    disk: Disk
    failpoints: Path
    observer: Observer
    snapshot: Any = None
    held_since: float = 0.0

    def inject(self, fault: Fault) -> float | None:
        """Inject a fault; return its Unix time, or None where it did not come about."""
        if fault.failpoint in OPERATORS:
            return self._operate(OPERATORS[fault.failpoint], self.failpoints / fault.failpoint)
        if fault.failpoint == "retry-moved":
            return self._kill_at_a_failure(self.failpoints / fault.failpoint)
        if fault.failpoint:
            return _taken(self.failpoints / fault.failpoint)
        kind, _, target = fault.name.partition(" ")
        if kind == "kill" and target != "child":
            self.cluster.processes[fault.one_of(self.cluster.names(target))].kill()
            return time.time()
        if kind == "misbehave":
            return self._provoke("MisbehaviourRequested", target)
        if kind == "poison":
            return self._provoke("CrashRequested", "poison")
        now = time.time()
        happened = getattr(self, method_of(fault.name))(fault)
        return now if happened else None

    def _operate(self, command: Sequence[str], file: Path) -> float | None:
        """Run an operator's command that dies at the failpoint, and run it again."""
        self._request("EarlyWorkRequested")
        _wait(lambda: self.observer.dead_letters() > 0, DELIVERY_TIMEOUT)
        file.touch()
        try:
            self.cluster.run(*command)
        except Stuck:
            if file.exists():
                raise
            died = time.time()
            self.cluster.run(*command)
            return died
        file.unlink(missing_ok=True)
        return None

    def _kill_at_a_failure(self, file: Path) -> float | None:
        """Kill the process that records the failure of an event made to fail."""
        file.touch()
        self._provoke("MisbehaviourRequested", "raise")
        _wait(lambda: not file.exists())
        died = None if file.exists() else time.time()
        file.unlink(missing_ok=True)
        return died

    def _provoke(self, event: str, kind: str) -> float | None:
        """Have an event published whose handler does wrong; return the time when it did."""
        before = self._reached(kind)
        if not self._request(event, kind):
            return None
        _wait(lambda: self._reached(kind) > before, DELIVERY_TIMEOUT)
        return time.time() if self._reached(kind) > before else None

    def _reached(self, kind: str) -> int:
        """Return how often `chaosevents.consumers.report` has reported this kind."""
        return len(list(Path(self.cluster.env["VAR_DIR"], "reached", kind).glob("*")))

    def _kill_child(self, fault: Fault) -> bool:
        worker = self.cluster.processes[fault.one_of(self.cluster.names("worker"))]
        _wait(lambda: bool(worker.children()))
        children = worker.children()
        if not children:
            return False  # it is just starting
        with suppress(ProcessLookupError):
            os.kill(children[int(fault.draw * 997) % len(children)], signal.SIGKILL)
        return True

    def _freeze_relay(self, fault: Fault) -> bool:
        """Stop a relay until all its deadlines have passed, and let it go on where it was."""
        return self._freeze(fault.one_of(self.cluster.names("relay")))

    def _freeze_shop(self, fault: Fault) -> bool:
        return self._freeze("shop")

    def _freeze(self, name: str) -> bool:
        relay = self.cluster.processes[name]
        os.kill(relay.pid, signal.SIGSTOP)
        time.sleep(FREEZE_SECONDS)
        os.kill(relay.pid, signal.SIGCONT)
        return True

    def _empty_broker(self, fault: Fault) -> bool:
        assert self.broker
        self.broker.empty()
        return True

    def _restart_broker(self, fault: Fault) -> bool:
        return bool(self.broker and self.broker.restart())

    def _restart_database(self, fault: Fault) -> bool:
        """Kill the server as a power cut would, or shut it down at once (SIGQUIT)."""
        self.release_snapshot()
        assert self.database
        server = self.database.process
        if fault.draw < 0.5 or server is None:
            self.database.kill()
        else:
            server.send_signal(signal.SIGQUIT)
            server.wait(60)
        self.database.start()
        return True

    def _hold_snapshot(self, fault: Fault) -> bool:
        """Keep a snapshot open: dead rows cannot be vacuumed meanwhile."""
        self.release_snapshot()
        self.snapshot = observe.connect(self.cluster.env["DATABASE_URL"])
        repeatable = "" if self.observer.sqlite else " ISOLATION LEVEL REPEATABLE READ"
        self.snapshot.execute(f"BEGIN{repeatable}")
        self.snapshot.execute("SELECT count(*) FROM eventbus_outbox")
        self.held_since = time.monotonic()
        return True

    def release_snapshot(self, after: float = 0.0) -> None:
        """Close the snapshot if it has been open for so many seconds."""
        if self.snapshot and time.monotonic() - self.held_since >= after:
            with suppress(psycopg.Error, sqlite3.Error):
                self.snapshot.close()
            self.snapshot = None

    def _slow_publisher(self, fault: Fault) -> bool:
        """Have an event published in a transaction that stays open for a minute."""
        return self._request("LongTransactionRequested")

    def _request(self, event: str, text: str = "") -> bool:
        """Ask the clients to publish it."""
        return bool(_taken(self.cluster.folder / event, text, DELIVERY_TIMEOUT))


def method_of(fault: str) -> str:
    """Return the name of the method that injects a fault."""
    return "_" + re.sub(r"\W", "_", fault)


def _taken(file: Path, text: str = "", seconds: float = FAILPOINT_TIMEOUT) -> float | None:
    """Create a file, and return the Unix time when a process removed it, or None."""
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(text)
    draft.rename(file)
    _wait(lambda: not file.exists(), seconds)
    taken = None if file.exists() else time.time()
    file.unlink(missing_ok=True)
    return taken


def _wait(condition: Callable[[], bool], seconds: float = FAILPOINT_TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
