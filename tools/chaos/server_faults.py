"""Faults of servers, other clients and deployments, each for some seconds."""

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import psycopg

from tools.chaos import observe
from tools.chaos.brokers import Broker
from tools.chaos.cluster import Cluster
from tools.chaos.disk import Disk
from tools.chaos.observe import Observer
from tools.chaos.plan import Fault
from tools.devserver.servers import Postgres

SECONDS = 4.0  # of a fault: longer than SEND_DEADLINE
FREEZE_WORKER_SECONDS = 12.0  # longer than visibility_timeout and the time limit of a task
MOST_CONNECTIONS = 500
DEPLOY_TIMEOUT = 60.0
MOST_SECONDS = 30.0  # for a fault to be noticed
LOCKED_SECONDS = 25.0  # longer than the 20 s for which a connection to SQLite waits
# The shop locks goods in the order of their names.
_GOODS = "SELECT sku FROM inventory_stockitem ORDER BY sku DESC"
_LOCK_ITEM = "SELECT 1 FROM inventory_stockitem WHERE sku = %s FOR UPDATE"
_BLOCKED = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
# One at a time: a client that waits for a second one while it holds the first could deadlock.
_TABLES = ("eventbus_outbox", "eventbus_inbox", "eventbus_dispatch", "eventbus_retry")
_FULL = (b"No space left on device", b"database or disk is full")


class ServerFaults(ABC):
    """Faults by name, mixed into the injector; each returns whether it came about."""

    cluster: Cluster
    database: Postgres | None
    broker: Broker | None
    disk: Disk
    observer: Observer

    @abstractmethod
    def _reached(self, kind: str) -> int: ...

    @abstractmethod
    def _request(self, event: str, text: str = "") -> bool: ...

    @abstractmethod
    def release_snapshot(self, after: float = 0.0) -> None: ...

    def _terminate_sessions(self, fault: Fault) -> bool:
        """End half of the database's sessions, as an administrator or a failover does."""
        with self._client() as client:
            ended = client.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE random() < 0.5"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            return ended.rowcount > 0

    def _exhaust_connections(self, fault: Fault) -> bool:
        """Take all connections of the server that are free."""
        with ExitStack() as stack:
            for _ in range(MOST_CONNECTIONS):
                try:
                    stack.enter_context(self._client())
                except psycopg.OperationalError:
                    time.sleep(SECONDS)
                    return True
        return False

    def _deadlocks(self, fault: Fault) -> bool:
        """Lock goods in the order opposite to the shop's, so that the shop's transactions end.

        PostgreSQL ends the one that looks for a deadlock first; this client never looks.
        """
        with self._client() as client:
            client.execute("SET deadlock_timeout = '1h'")
            before, until = _deadlocks_of(client), time.monotonic() + MOST_SECONDS
            while _deadlocks_of(client) == before and time.monotonic() < until:
                with suppress(psycopg.Error), client.transaction():
                    for (sku,) in client.execute(_GOODS).fetchall():
                        client.execute(_LOCK_ITEM, [sku])
                        self._wait_until_blocking(client.info.backend_pid)
            return _deadlocks_of(client) > before

    def _wait_until_blocking(self, pid: int) -> None:
        until = time.monotonic() + 1
        with self._client() as client:
            while time.monotonic() < until and not client.execute(_BLOCKED, [pid]).fetchall():
                time.sleep(0.01)

    def _lock_database(self, fault: Fault) -> bool:
        """Lock all of SQLite, or a table of the bus in PostgreSQL, for some seconds."""
        self.release_snapshot()  # a snapshot of PostgreSQL holds a lock, which this would wait for
        client = observe.connect(self.cluster.env["DATABASE_URL"])
        with closing(client):
            if self.observer.sqlite:
                client.execute("PRAGMA busy_timeout = 60000")
                client.execute("BEGIN IMMEDIATE")
                time.sleep(LOCKED_SECONDS)
            else:
                client.execute("BEGIN")
                client.execute(f"LOCK TABLE {fault.one_of(_TABLES)} IN ACCESS EXCLUSIVE MODE")
                time.sleep(SECONDS)
            client.execute("ROLLBACK")
        return True

    def _full_disk(self, fault: Fault) -> bool:
        """Let the disk of the database be full until that was noticed, and some seconds more."""
        if not self.disk.mounted:
            return False
        before = self._writes_refused()
        if self.observer.sqlite:
            # Its log is written over from the start: kept at its size, it would have space.
            self.release_snapshot()
            self.observer.query("PRAGMA wal_checkpoint(TRUNCATE)")
        with self.disk.full():
            until = time.monotonic() + MOST_SECONDS
            while self._writes_refused() == before and time.monotonic() < until:
                time.sleep(0.1)
            time.sleep(SECONDS)
        if self.database and not self.database.alive:
            self.database.kill()  # without space for its log it has ended itself
            self.database.start()
        return self._writes_refused() > before

    def _writes_refused(self) -> int:
        """Return how many lines of logs say that the disk is full."""
        logs = [self.database.log] if self.database else self.cluster.folder.glob("*.log")
        texts = (log.read_bytes() for log in logs)
        return sum(text.count(words) for text in texts for words in _FULL)

    def _fewer_contexts(self, fault: Fault) -> bool:
        """Deploy a release that lacks a context, then the full one again."""
        with self._deployed({"CHAOS_WITHOUT": "analytics"}) as ready:
            time.sleep(SECONDS)
        return ready

    def _renamed_consumer(self, fault: Fault) -> bool:
        """Deploy a release in which a consumer has another name, then the former one again."""
        before = self._reached("renamed")
        with self._deployed({"CHAOS_RELEASE": "renamed"}) as ready:
            self._request("FlakyWorkRequested")
            until = time.monotonic() + MOST_SECONDS
            while self._reached("renamed") == before and time.monotonic() < until:
                time.sleep(0.1)
        return ready and self._reached("renamed") > before

    @contextmanager
    def _deployed(self, release: dict[str, str]) -> Iterator[bool]:
        """Run one relay and worker, or the only process, in another release; then kill them."""
        env = self.cluster.env | release
        self.cluster.run("manage.py", "migrate", "--noinput", "-v0", env=env)
        names = ("shop",) if self.cluster.embedded else ("relay 1", "worker contexts")
        deployed = [self.cluster.processes[name] for name in names]
        for process in deployed:
            process.kill()
            self.cluster.groups.append(process.start(env, self.cluster.root))
        deadline, ready = time.monotonic() + DEPLOY_TIMEOUT, False
        while not ready and time.monotonic() < deadline:
            ready = all(process.ready for process in deployed)
            time.sleep(0.1)
        yield ready
        for process in deployed:
            process.kill()
        self.cluster.run("manage.py", "migrate", "--noinput", "-v0")

    def _read_only_broker(self, fault: Fault) -> bool:
        return bool(self.broker and self.broker.refuse_writes("read-only", SECONDS))

    def _full_broker(self, fault: Fault) -> bool:
        return bool(self.broker and self.broker.refuse_writes("full", SECONDS))

    def _freeze_broker(self, fault: Fault) -> bool:
        return bool(self.broker and self.broker.freeze(SECONDS))

    def _freeze_worker(self, fault: Fault) -> bool:
        """Stop a worker with its children past every time-out, and let it go on."""
        worker = self.cluster.processes[fault.one_of(self.cluster.names("worker"))]
        stopped = [worker.pid, *worker.children()]
        with _frozen(stopped):
            time.sleep(FREEZE_WORKER_SECONDS)
        return True

    def _client(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.cluster.env["DATABASE_URL"], autocommit=True)


def _deadlocks_of(client: "psycopg.Connection[Any]") -> int:
    """Return how many transactions PostgreSQL has ended since its start."""
    found = client.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    return int(found[0]) if found else 0


@contextmanager
def _frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
