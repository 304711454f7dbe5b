"""Injects faults: each method does one, and reports whether it came about."""

import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tools.chaos.brokers import Broker
from tools.chaos.cluster import Cluster
from tools.chaos.observe import Observer
from tools.chaos.plan import OPERATORS, Fault
from tools.chaos.progress import Stuck
from tools.chaos.server_faults import ServerFaults
from tools.devserver.servers import Postgres

FREEZE_SECONDS = 3.0  # longer than SEND_DEADLINE
FAILPOINT_TIMEOUT = 6.0
MAX_SNAPSHOT_SECONDS = 30.0


@dataclass
class Injector(ServerFaults):
    """Injects faults into a cluster, its database and its broker."""

    cluster: Cluster
    database: Postgres
    broker: Broker
    failpoints: Path
    observer: Observer
    snapshot: "psycopg.Connection[Any] | None" = None
    held_since: float = 0.0

    def inject(self, fault: Fault) -> float | None:
        """Inject a fault; return its Unix time, or None where it did not come about."""
        if fault.failpoint in OPERATORS:
            return self._operate(OPERATORS[fault.failpoint], self.failpoints / fault.failpoint)
        if fault.failpoint:
            return _taken(self.failpoints / fault.failpoint)
        kind, _, target = fault.name.partition(" ")
        if kind == "kill" and target != "child":
            self.cluster.processes[fault.one_of(self.cluster.names(target))].kill()
            return time.time()
        now = time.time()
        if kind == "misbehave":
            happened = self._request("MisbehaviourRequested", target)
        else:
            happened = getattr(self, method_of(fault.name))(fault)
        return now if happened else None

    def _operate(self, command: Sequence[str], file: Path) -> float | None:
        """Run an operator's command that dies at the failpoint, and run it again."""
        _taken(self.cluster.folder / "EarlyWorkRequested")
        _wait(lambda: self.observer.dead_letters() > 0)
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

    def _kill_child(self, fault: Fault) -> bool:
        worker = self.cluster.processes[fault.one_of(self.cluster.names("worker"))]
        children = worker.children()
        if not children:
            return False  # it is just starting
        with suppress(ProcessLookupError):
            os.kill(children[int(fault.draw * 997) % len(children)], signal.SIGKILL)
        return True

    def _freeze_relay(self, fault: Fault) -> bool:
        """Stop a relay until all its deadlines have passed, and let it go on where it was."""
        relay = self.cluster.processes[fault.one_of(self.cluster.names("relay"))]
        os.kill(relay.pid, signal.SIGSTOP)
        time.sleep(FREEZE_SECONDS)
        os.kill(relay.pid, signal.SIGCONT)
        return True

    def _empty_broker(self, fault: Fault) -> bool:
        self.broker.empty()
        return True

    def _restart_broker(self, fault: Fault) -> bool:
        return self.broker.restart()

    def _restart_database(self, fault: Fault) -> bool:
        """Kill the server as a power cut would, or shut it down at once (SIGQUIT)."""
        self.release_snapshot()
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
        self.snapshot = psycopg.connect(self.cluster.env["DATABASE_URL"])
        self.snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self.snapshot.execute("SELECT count(*) FROM eventbus_outbox")
        self.held_since = time.monotonic()
        return True

    def release_snapshot(self, after: float = 0.0) -> None:
        """Close the snapshot if it has been open for so many seconds."""
        if self.snapshot and time.monotonic() - self.held_since >= after:
            with suppress(psycopg.Error):
                self.snapshot.close()
            self.snapshot = None

    def _slow_publisher(self, fault: Fault) -> bool:
        """Have an event published in a transaction that stays open for a minute."""
        return self._request("LongTransactionRequested")

    def _poison(self, fault: Fault) -> bool:
        """Have an event published whose consumer kills its worker."""
        return self._request("CrashRequested")

    def _request(self, event: str, text: str = "") -> bool:
        """Ask the clients to publish it."""
        return bool(_taken(self.cluster.folder / event, text))


def method_of(fault: str) -> str:
    """Return the name of the method that injects a fault."""
    return "_" + re.sub(r"\W", "_", fault)


def _taken(file: Path, text: str = "") -> float | None:
    """Create a file, and return the Unix time when a process removed it, or None."""
    draft = file.with_name(f"{file.name}.new")
    draft.write_text(text)
    draft.rename(file)
    _wait(lambda: not file.exists())
    taken = None if file.exists() else time.time()
    file.unlink(missing_ok=True)
    return taken


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + FAILPOINT_TIMEOUT
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
