"""The damage: one function for each thing that can happen; it says whether it came about."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tools.servers import Postgres
from tools.storm import traffic
from tools.storm.brokers import Broker
from tools.storm.house import House, Stuck
from tools.storm.plan import Strike

FROZEN = 3.0  # seconds: past the deadline of what a relay was sending
REACHED_WITHIN = 6.0
LONGEST_SNAPSHOT = 30.0
RETRY = ("manage.py", "retrydeadletters", "--yes")


@dataclass
class Hand:
    """Strikes a house, its database and its broker."""

    house: House
    database: Postgres
    broker: Broker
    failpoints: Path
    snapshot: "psycopg.Connection[Any] | None" = None
    held_since: float = 0.0

    def strike(self, strike: Strike) -> bool:
        """Do what the plan says."""
        if strike.failpoint:
            return self._arm(strike.failpoint)
        kind, _, target = strike.what.partition(" ")
        if kind == "kill" and target != "child":
            self.house.actors[strike.one_of(self.house.named(target))].kill()
            return True
        return bool(getattr(self, "_" + strike.what.replace(" ", "_"))(strike))

    def _arm(self, failpoint: str) -> bool:
        """Lay the file that kills, and see whether somebody comes by."""
        file = self.failpoints / failpoint
        file.touch()
        reached = (
            self._retry_dead_letters(file) if failpoint == "dead-letters-retried" else _gone(file)
        )
        file.unlink(missing_ok=True)
        return reached

    def _retry_dead_letters(self, file: Path) -> bool:
        """Let an operator die of it, and another one do it."""
        try:
            self.house.run(*RETRY)
        except Stuck:
            if file.exists():
                raise
            self.house.run(*RETRY)
        return not file.exists()

    def _kill_child(self, strike: Strike) -> bool:
        worker = self.house.actors[strike.one_of(self.house.named("worker"))]
        children = worker.children()
        with suppress(ProcessLookupError):
            os.kill(children[int(strike.lot * 997) % len(children)], signal.SIGKILL)
        return bool(children)

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
        file = self.house.folder / traffic.POISON
        file.touch()
        return _gone(file)


def _gone(file: Path) -> bool:
    """Wait for somebody to come by and take the file away."""
    deadline = time.monotonic() + REACHED_WITHIN
    while file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not file.exists()
