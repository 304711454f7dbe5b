"""Runs a chaos test: start, faults, drain, checks."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from tools.chaos import duplicates, evaluate, progress, traffic
from tools.chaos.brokers import Broker, ValkeyBroker, rabbitmq
from tools.chaos.cluster import Cluster
from tools.chaos.disk import Disk
from tools.chaos.faults import MAX_SNAPSHOT_SECONDS, Injector
from tools.chaos.observe import Observer
from tools.chaos.plan import EMBEDDED, Fault, plan
from tools.chaos.progress import POLL_INTERVAL, Stuck
from tools.chaos.report import Cycle, Report
from tools.devserver.servers import Postgres, Valkey
from tools.devserver.supervisor import StopRequests

# Seconds for the broker to redeliver handled messages whose acknowledgement was lost.
REDELIVERY_TIMEOUT = 15.0
Print = Callable[[str], None]


@dataclass
class ChaosTest:
    """One run of a plan."""

    seed: int
    cycles: int
    setup: str  # a broker; or a database, for one process without a broker
    folder: Path
    print: Print
    only: Sequence[str] = ()
    default_timeouts: bool = False
    disk: Disk | None = None

    def close(self, *, keep: bool) -> None:
        """End the disk of the database."""
        if self.disk:
            self.disk.close(keep=keep)

    def run(self) -> Report:
        """Run all of it, and return the report."""
        with ExitStack() as stack:
            injector, observer = stack.enter_context(self._cluster())
            report = Report(self.seed, self.setup, self._describe(injector))
            report.default_timeouts = self.default_timeouts
            progress.STALL_TIMEOUT = 700.0 if self.default_timeouts else progress.STALL_TIMEOUT
            begun = time.monotonic()
            injector.cluster.start()
            for stage in (self._inject_all, self._drain):
                try:
                    stage(injector, observer, report)
                except Stuck as stuck:
                    report.violations[str(stuck)] = self._undelivered(injector, observer)
            report.seconds = time.monotonic() - begun
            self._evaluate(injector.cluster, report)
        return report

    def _inject_all(self, injector: Injector, observer: Observer, report: Report) -> None:
        faults = plan(self.seed, self.cycles, self.setup, self.only)
        requests = StopRequests()
        for number, fault in enumerate(faults, 1):
            if requests.count:
                self.print("stopping: draining and checking what was done so far")
                return
            time.sleep(fault.pause)
            cycle = self._cycle(injector, observer, report, fault)
            report.cycles.append(cycle)
            report.note_resent(observer)
            self.print(f"{number:>4}/{len(faults)}  {cycle}")

    def _cycle(self, injector: Injector, observer: Observer, report: Report, fault: Fault) -> Cycle:
        """Inject a fault, start dead processes again, and wait until the shop sells."""
        injector.release_snapshot(after=MAX_SNAPSHOT_SECONDS)
        dispatch, begun = observer.newest_dispatch(), time.monotonic()
        fault_time = injector.inject(fault)
        report.fault_times += [fault_time] if fault_time else []
        injected, moment, sold = time.monotonic(), None, 0.0

        def recovered() -> bool:
            nonlocal moment, sold
            ready, moment = injector.cluster.all_ready(), moment or observer.now()
            sold = sold or (time.monotonic() if observer.sells_since(moment) else 0.0)
            return ready and bool(sold)

        def observed() -> tuple[object, ...]:
            return injector.cluster.ready(), () if sold else observer.progress()

        description = f"all is well after: {fault.name}"
        recovery = injector.cluster.wait_until(recovered, description, observed)
        lost = dispatch if fault.name == "empty broker" else 0
        return Cycle(fault.name, fault_time is not None, sold - injected, recovery, begun, lost)

    def _drain(self, injector: Injector, observer: Observer, report: Report) -> None:
        """Wait until every event has arrived, scheduled ones too."""
        self.print("draining")
        injector.release_snapshot()
        (injector.cluster.folder / traffic.CLOSED).touch()
        injector.cluster.stop("traffic")

        def empty() -> bool:
            injector.cluster.restart_dead()
            report.note_resent(observer)
            return set(observer.waiting().values()) == {0}

        description = "every event has arrived"
        report.drain = injector.cluster.wait_until(empty, description, observer.progress)
        deadline = time.monotonic() + REDELIVERY_TIMEOUT
        while injector.broker and injector.broker.messages() and time.monotonic() < deadline:
            injector.cluster.restart_dead()
            time.sleep(POLL_INTERVAL / 5)

    def _undelivered(self, injector: Injector, observer: Observer) -> list[str]:
        """Print and return where undelivered events are."""
        try:
            messages = (injector.broker.messages() if injector.broker else {}).items()
            held = [f"{count} messages in the broker: {place}" for place, count in messages]
        except Exception as error:
            held = [f"the broker is unreachable: {error}"]
        found = [*injector.cluster.statuses(), *held, *observer.undelivered()]
        for line in ("stuck:", *found):
            self.print(f"    {line}")
        return found

    def _evaluate(self, cluster: Cluster, report: Report) -> None:
        report.unexpected_exits = cluster.unexpected_exits
        fault_times = [*report.fault_times, *(exit.at for exit in cluster.unexpected_exits)]
        (cluster.folder / duplicates.FAULT_TIMES).write_text(json.dumps(fault_times))
        output = cluster.run("-m", evaluate.__name__, str(cluster.folder))
        report.add(json.loads(output.splitlines()[-1]))

    @contextmanager
    def _cluster(self) -> Iterator[tuple[Injector, Observer]]:
        with ExitStack() as stack:
            self.disk = disk = Disk(self.folder / "disk")
            database, broker = None, None
            named = {"DATABASE_URL": f"sqlite:///{disk.folder / 'kabar.sqlite3'}"}
            if self.setup != "sqlite":
                database = stack.enter_context(Postgres(disk.folder, durable=True))
                named = database.environment()
            if not self.embedded:
                valkey = stack.enter_context(Valkey(self.folder))
                broker = self._broker(stack, valkey)
                named |= {"BROKER_URL": broker.url, "CACHE_URL": valkey.cache_url}
            failpoints = self.folder / "failpoints"
            failpoints.mkdir(exist_ok=True)
            env = self._environment(named, failpoints)
            cluster = Cluster(env, self.folder, Path(settings.BASE_DIR), embedded=self.embedded)
            stack.callback(cluster.close)
            cluster.start_bank()
            observer = Observer(env["DATABASE_URL"])
            yield Injector(cluster, database, broker, disk, failpoints, observer), observer

    @property
    def embedded(self) -> bool:
        """Whether all of the shop is one process."""
        return self.setup in EMBEDDED

    def _broker(self, stack: ExitStack, valkey: Valkey) -> Broker:
        if self.setup == "rabbitmq":
            return stack.enter_context(rabbitmq())
        return ValkeyBroker(valkey)

    def _describe(self, injector: Injector) -> str:
        """Return a description of the processes, servers and files that the faults hit."""
        name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(self.setup)
        parts = injector.broker.description if injector.broker else f"One process on {name}"
        where = "in memory" if injector.disk.mounted else "on a disk that no fault fills"
        return f"{parts}; the database's files are {where}; {os.cpu_count()} cores"

    def _environment(self, named: dict[str, str], failpoints: Path) -> dict[str, str]:
        inherited = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR")
        return {
            **{name: os.environ[name] for name in inherited if name in os.environ},
            **named,
            "DJANGO_SETTINGS_MODULE": "tools.chaos.settings",
            "KABAR_FAILPOINTS": str(failpoints),
            "VAR_DIR": str(self.folder / "var"),
            "SECRET_KEY": f"chaos test of seed {self.seed}, longer than thirty-two bytes",
            "LOG_LEVEL": "INFO",
            "LOG_FORMAT": "json",
            "MOST_OPEN_ORDERS": "1000000",  # a few customers place all orders
            "PYTHONUNBUFFERED": "1",
            "CHAOS_DEFAULT_TIMEOUTS": "1" if self.default_timeouts else "",
        }
