"""The damage: one function for each thing that can happen; it says when it came about."""

import os
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
from tools.chaos.observe import Gauges
from tools.chaos.plan import OPERATORS, Strike
from tools.chaos.progress import Stuck
from tools.devserver.servers import Postgres

FROZEN = 3.0  # seconds: past the deadline of what a relay was sending
REACHED_WITHIN = 6.0
LONGEST_SNAPSHOT = 30.0


@dataclass
class Injector:
    """Strikes a house, its database and its broker."""

    house: Cluster
    database: Postgres
    broker: Broker
    failpoints: Path
    gauges: Gauges
    snapshot: "psycopg.Connection[Any] | None" = None
    held_since: float = 0.0

    def strike(self, strike: Strike) -> float | None:
        """Do what the plan says; return when it hit (Unix time), None where nobody came by."""
        if strike.failpoint in OPERATORS:
            return self._operate(OPERATORS[strike.failpoint], self.failpoints / strike.failpoint)
        if strike.failpoint:
            return _taken(self.failpoints / strike.failpoint)
        kind, _, target = strike.what.partition(" ")
        if kind == "kill" and target != "child":
            self.house.actors[strike.one_of(self.house.named(target))].kill()
            return time.time()
        now = time.time()
        happened = getattr(self, "_" + strike.what.replace(" ", "_"))(strike)
        return now if happened else None

    def _operate(self, command: Sequence[str], file: Path) -> float | None:
        """Let an operator die of it, and another one do it."""
        _taken(self.house.folder / "TrapLaid")
        _wait(lambda: self.gauges.dead_letters() > 0)
        file.touch()
        try:
            self.house.run(*command)
        except Stuck:
            if file.exists():
                raise
            died = time.time()
            self.house.run(*command)
            return died
        file.unlink(missing_ok=True)
        return None

    def _kill_child(self, strike: Strike) -> bool:
        worker = self.house.actors[strike.one_of(self.house.named("worker"))]
        children = worker.children()
        if not children:
            return False  # it is just starting
        with suppress(ProcessLookupError):
            os.kill(children[int(strike.lot * 997) % len(children)], signal.SIGKILL)
        return True

    def _freeze_relay(self, strike: Strike) -> bool:
        """Let one sleep past every deadline, and wake it in the middle of what it was doing."""
        relay = self.house.actors[strike.one_of(self.house.named("relay"))]
        os.kill(relay.pid, signal.SIGSTOP)
        time.sleep(FROZEN)
        os.kill(relay.pid, signal.SIGCONT)
        return True

    def _empty_broker(self, strike: Strike) -> bool:
        self.broker.empty()
        return True

    def _restart_broker(self, strike: Strike) -> bool:
        return self.broker.restart()

    def _restart_database(self, strike: Strike) -> bool:
        """Take it away as a power cut would, or by its own immediate shutdown."""
        self.let_go()
        server = self.database.process
        if strike.lot < 0.5 or server is None:
            self.database.kill()
        else:
            server.send_signal(signal.SIGQUIT)
            server.wait(60)
        self.database.start()
        return True

    def _hold_snapshot(self, strike: Strike) -> bool:
        """See the database as it is now for a while; dead rows stay meanwhile."""
        self.let_go()
        self.snapshot = psycopg.connect(self.house.env["DATABASE_URL"])
        self.snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self.snapshot.execute("SELECT count(*) FROM eventbus_outbox")
        self.held_since = time.monotonic()
        return True

    def let_go(self, after: float = 0.0) -> None:
        """End a snapshot that has been held so long."""
        if self.snapshot and time.monotonic() - self.held_since >= after:
            with suppress(psycopg.Error):
                self.snapshot.close()
            self.snapshot = None

    def _poison(self, strike: Strike) -> bool:
        """Have some laid; it is still to be drunk."""
        return bool(_taken(self.house.folder / "PoisonLaid"))


def _taken(file: Path) -> float | None:
    """Lay a file, wait for somebody to come by and take it away, and return when that was."""
    file.touch()
    _wait(lambda: not file.exists())
    taken = None if file.exists() else time.time()
    file.unlink(missing_ok=True)
    return taken


def _wait(holds: Callable[[], bool]) -> None:
    """Return when it holds, or too much time has gone."""
    deadline = time.monotonic() + REACHED_WITHIN
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
