"""The candidates: real processes, stopped (SIGSTOP) while another is measured."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any
from uuid import uuid4

from django.db import transaction

from tools.bench import cpu, fixtures, raw_celery
from tools.devserver.child_process import spawn

ROOT = Path(__file__).resolve().parents[2]
CELERY = (sys.executable, "-m", "celery", "-q", "-A")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
Publish = Callable[[Any], None]


@dataclass
class Candidate:
    """A way from a commit to its effect."""

    name: str
    commands: Sequence[Sequence[str]]
    start: Callable[[int], float]  # publish so many events; return the time of the start
    publish: Publish  # publish one checkout, in its transaction
    env: dict[str, str] = field(default_factory=dict)
    exactly: bool = True  # whether duplicate effects are an error
    processes: list[Popen[bytes]] = field(default_factory=list)

    def run(self, events: int) -> float:
        """Return the seconds from the first event's commit to the last one's effect."""
        before = fixtures.last_effect()
        began = self.start(events)
        took = fixtures.wait_for_effects(events, before) - began
        assert not self.exactly or fixtures.effects(before) == events, (
            f"{self.name}: duplicate effects"
        )
        return took

    def rate(self, events: int) -> float:
        """Return events a second."""
        return events / self.run(events)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds its processes have used so far."""
        return cpu.cpu_seconds({process.pid for process in self.processes})

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the processes and their children."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Let the processes run for a while."""
        self.signal(signal.SIGCONT)
        try:
            yield
        finally:
            time.sleep(0.3)  # rows that are written after the last effect
            self.signal(signal.SIGSTOP)


def bus(workers: int, event: str = "GoodsSold", name: str = "bus") -> Candidate:
    """Return this bus: a relay, and a worker with so many children."""
    worker = (*CELERY, "config", "worker", *_with(workers), "-Q", "benchshop")
    relay = (sys.executable, "manage.py", "runrelay")
    return Candidate(name, [relay, worker], lambda n: _outbox(f"benchshop.{event}", n), _publish)


def limit(workers: int) -> Candidate:
    """Return the raw loop: a relay, and so many consumers."""
    command = (sys.executable, "-m", "tools.bench.limit")
    commands = [(*command, "relay"), *[(*command, "consume")] * workers]
    return Candidate("limit", commands, lambda n: _outbox("benchshop.GoodsSold", n), _publish)


def celery(workers: int) -> Candidate:
    """Return Celery with its defaults."""
    return _celery("celery", "celery", workers, {"CONN_MAX_AGE": "0"})


def celery_tuned(workers: int) -> Candidate:
    """Return Celery that keeps connections, prefetches, and acknowledges late."""
    return _celery("celery tuned", "tuned", workers, {"BENCH_TUNED": "1"})


def _celery(name: str, mark: str, workers: int, env: dict[str, str]) -> Candidate:
    worker = (*CELERY, "tools.bench.raw_celery", "worker", *_with(workers))
    queue = f"{raw_celery.QUEUE}_{mark}"
    return Candidate(
        name,
        [(*worker, "-Q", queue)],
        lambda n: delay_many(queue, n),
        lambda checkout: _delay_on_commit(queue, checkout),
        env,
        exactly=False,
    )


def message(checkout: Any, stock: int = 1) -> dict[str, Any]:
    """Return the arguments of an event or task."""
    return {"checkout_id": str(checkout), "stock_id": stock, "quantity": 1, "note": fixtures.NOTE}


def _with(workers: int) -> Sequence[str]:
    """Return options with a unique name: two workers of one name would share a queue."""
    return ("-c", str(workers), *QUIET, "-n", f"{uuid4()}@%h")


def _outbox(event: str, count: int) -> float:
    with transaction.atomic():
        fixtures.preload(event, count)
        return time.perf_counter()  # the commit follows


def delay_many(queue: str, count: int) -> float:
    """Send so many tasks, one after the other; return the time of the start."""
    began = time.perf_counter()
    for n in range(count):
        raw_celery.sell.apply_async(kwargs=message(uuid4(), 1 + n * 37 % 100), queue=queue)
    return began


def _publish(checkout: Any) -> None:
    from benchshop.events import GoodsSold

    from eventbus import publish

    publish(GoodsSold(checkout_id=checkout, stock_id=1, quantity=1, note=fixtures.NOTE))


def _delay_on_commit(queue: str, checkout: Any) -> None:
    def send() -> None:
        raw_celery.sell.apply_async(kwargs=message(checkout), queue=queue)

    transaction.on_commit(send)


@contextmanager
def running(folder: Path, *contenders: Candidate) -> Iterator[None]:
    """Start all, check that each works, and stop them until they are measured; then kill them."""
    try:
        for one in contenders:
            for at, command in enumerate(one.commands):
                log = folder / f"{one.name.replace(' ', '-')}-{at}.log"
                with log.open("wb") as output:
                    env = os.environ | one.env
                    process = spawn(command, signal.SIGKILL, output=output, env=env, cwd=ROOT)
                one.processes.append(process)
            with one.resumed():
                one.run(200)
        yield
    finally:
        for one in contenders:
            one.signal(signal.SIGKILL)
            for process in one.processes:
                process.wait()
