"""Faults of servers, other clients and deployments, each for some seconds."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg

from tools.chaos.brokers import Broker
from tools.chaos.cluster import Cluster
from tools.chaos.plan import Fault

SECONDS = 4.0  # of a fault: longer than SEND_DEADLINE
FREEZE_WORKER_SECONDS = 12.0  # longer than visibility_timeout and the time limit of a task
MOST_CONNECTIONS = 500
DEPLOY_TIMEOUT = 60.0


class ServerFaults:
    """Faults by name, mixed into the injector; each returns whether it came about."""

    cluster: Cluster
    broker: Broker

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
        """Lock two stock items in opposite orders, again and again."""
        clients = [
            threading.Thread(target=self._lock_in_turn, args=skus)
            for skus in (("teapot", "cup"), ("cup", "teapot"))
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        return True

    def _lock_in_turn(self, first: str, second: str) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            with suppress(psycopg.Error), self._client() as client, client.transaction():
                for sku in (first, second):
                    client.execute(
                        "SELECT 1 FROM inventory_stockitem WHERE sku = %s FOR UPDATE", [sku]
                    )
                    time.sleep(random.uniform(0, 0.05))

    def _fewer_contexts(self, fault: Fault) -> bool:
        """Migrate, and run a relay and a worker, without a context; then kill them."""
        env = {**self.cluster.env, "CHAOS_WITHOUT": "analytics"}
        self.cluster.run("manage.py", "migrate", "--noinput", "-v0", env=env)
        deployed = [self.cluster.processes[name] for name in ("relay 1", "worker contexts")]
        for process in deployed:
            process.kill()
            self.cluster.groups.append(process.start(env, self.cluster.root))
        deadline, ready = time.monotonic() + DEPLOY_TIMEOUT, False
        while not ready and time.monotonic() < deadline:
            ready = all(process.ready for process in deployed)
            time.sleep(0.1)
        time.sleep(SECONDS)
        for process in deployed:
            process.kill()
        return ready

    def _read_only_broker(self, fault: Fault) -> bool:
        return self.broker.refuse_writes("read-only", SECONDS)

    def _full_broker(self, fault: Fault) -> bool:
        return self.broker.refuse_writes("full", SECONDS)

    def _freeze_broker(self, fault: Fault) -> bool:
        return self.broker.freeze(SECONDS)

    def _freeze_worker(self, fault: Fault) -> bool:
        """Stop a worker with its children past every time-out, and let it go on."""
        worker = self.cluster.processes[fault.one_of(self.cluster.names("worker"))]
        stopped = [worker.pid, *worker.children()]
        with _frozen(stopped):
            time.sleep(FREEZE_WORKER_SECONDS)
        return True

    def _client(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self.cluster.env["DATABASE_URL"], autocommit=True)


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
