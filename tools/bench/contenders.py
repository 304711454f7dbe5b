"""Those who are measured: real processes, frozen while another has the stage."""

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

from tools.bench import fixtures, processors, raw_celery
from tools.devserver.child_process import spawn

ROOT = Path(__file__).resolve().parents[2]
CELERY = (sys.executable, "-m", "celery", "-q", "-A")
QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
Tell = Callable[[Any], None]


@dataclass
class Contender:
    """One way from a commit to its effect."""

    name: str
    commands: Sequence[Sequence[str]]
    start: Callable[[int], float]  # begin to carry so many events; return when that was
    tell: Tell  # tell of one checkout, in its transaction
    env: dict[str, str] = field(default_factory=dict)
    exactly: bool = True  # whether an effect too many is a failure
    processes: list[Popen[bytes]] = field(default_factory=list)

    def run(self, events: int) -> float:
        """Return the seconds from the first event's commit to the last one's effect."""
        before = fixtures.last_effect()
        began = self.start(events)
        took = fixtures.until_effects(events, before) - began
        assert not self.exactly or fixtures.effects(before) == events, f"{self.name} doubled"
        return took

    def rate(self, events: int) -> float:
        """Return events a second."""
        return events / self.run(events)

    def used(self) -> float:
        """Return the processor seconds its processes have used so far."""
        return processors.seconds_of({process.pid for process in self.processes})

    def signal(self, number: signal.Signals) -> None:
        """Reach the processes with all their children."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Thaw for a while."""
        self.signal(signal.SIGCONT)
        try:
            yield
        finally:
            time.sleep(0.3)  # what is recorded after the last effect
            self.signal(signal.SIGSTOP)


def bus(workers: int, event: str = "GoodsSold", name: str = "bus") -> Contender:
    """This bus: one relay, one worker with so many children, as they are deployed."""
    worker = (*CELERY, "config", "worker", *_with(workers), "-Q", "benchroom")
    relay = (sys.executable, "manage.py", "runrelay")
    return Contender(name, [relay, worker], lambda n: _outbox(f"benchroom.{event}", n), _publish)


def limit(workers: int) -> Contender:
    """The raw loop: one relay, so many consumers."""
    command = (sys.executable, "-m", "tools.bench.limit")
    commands = [(*command, "relay"), *[(*command, "consume")] * workers]
    return Contender("limit", commands, lambda n: _outbox("benchroom.GoodsSold", n), _publish)


def plain(workers: int) -> Contender:
    """Bare Celery as it comes."""
    return _bare("celery", "celery", workers, {"CONN_MAX_AGE": "0"})


def tuned(workers: int) -> Contender:
    """Bare Celery that keeps its connections, prefetches, and acknowledges late."""
    return _bare("celery tuned", "tuned", workers, {"BENCH_TUNED": "1"})


def _bare(name: str, mark: str, workers: int, env: dict[str, str]) -> Contender:
    worker = (*CELERY, "tools.bench.raw_celery", "worker", *_with(workers))
    queue = f"{raw_celery.QUEUE}_{mark}"
    return Contender(
        name,
        [(*worker, "-Q", queue)],
        lambda n: delay(queue, n),
        lambda checkout: _delay_on_commit(queue, checkout),
        env,
        exactly=False,
    )


def news(checkout: Any, stock: int = 1) -> dict[str, Any]:
    """Return what a message says."""
    return {"checkout_id": str(checkout), "stock_id": stock, "quantity": 1, "note": fixtures.NOTE}


def _with(workers: int) -> Sequence[str]:
    """Name a worker: two of one name would fight for a queue of RabbitMQ's."""
    return ("-c", str(workers), *QUIET, "-n", f"{uuid4()}@%h")


def _outbox(event: str, count: int) -> float:
    with transaction.atomic():
        fixtures.preload(event, count)
        return time.perf_counter()  # the commit follows


def delay(queue: str, count: int) -> float:
    """Send so many tasks, one after the other; return when that began."""
    began = time.perf_counter()
    for n in range(count):
        raw_celery.sell.apply_async(kwargs=news(uuid4(), 1 + n * 37 % 100), queue=queue)
    return began


def _publish(checkout: Any) -> None:
    from benchroom.events import GoodsSold

    from eventbus import publish

    publish(GoodsSold(checkout_id=checkout, stock_id=1, quantity=1, note=fixtures.NOTE))


def _delay_on_commit(queue: str, checkout: Any) -> None:
    def send() -> None:
        raw_celery.sell.apply_async(kwargs=news(checkout), queue=queue)

    transaction.on_commit(send)


@contextmanager
def on_stage(folder: Path, *contenders: Contender) -> Iterator[None]:
    """Start all, see that each works, freeze them; end them afterwards."""
    try:
        for one in contenders:
            for at, command in enumerate(one.commands):
                log = folder / f"{one.name.replace(' ', '-')}-{at}.log"
                with log.open("wb") as output:
                    env = os.environ | one.env
                    process = spawn(command, signal.SIGKILL, output=output, env=env, cwd=ROOT)
                one.processes.append(process)
            with one.playing():
                one.run(200)
        yield
    finally:
        for one in contenders:
            one.signal(signal.SIGKILL)
            for process in one.processes:
                process.wait()
