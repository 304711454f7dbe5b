"""The processes of a storm: started, watched, and started again when they die."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from tools.chaos import traffic
from tools.chaos.actors import DIRECT, Actor, end, end_group, free_port
from tools.chaos.progress import Progress, Stuck

WORKER = ("-m", "celery", "-q", "-A", "config", "worker", "-c", "2", "--without-mingle")
RUN_PATIENCE = 600.0  # for a command, from its start to its end
CONTEXTS = ("orders", "inventory", "analytics", "accounts", "hazards")
OUTSIDE = ("payments", "notifications")


@dataclass(frozen=True)
class End:
    """Of a process that nobody had killed."""

    name: str
    code: int
    at: float  # in Unix time
    words: str

    def __str__(self) -> str:
        return f"{self.name} ended by itself with {self.code}: {self.words}"


@dataclass
class Cluster:
    """All of them, and the environment they share."""

    env: dict[str, str]
    folder: Path
    root: Path
    actors: dict[str, Actor] = field(default_factory=dict)
    groups: list[int] = field(default_factory=list)
    ended: list[End] = field(default_factory=list)

    def hire_bank(self) -> None:
        """Start the bank, which stands outside of all storms and knows what money moved."""
        port = free_port()
        self.env["BANK_URL"] = f"http://127.0.0.1:{port}"
        command = ("manage.py", "runbank", "--port", str(port))
        self._bank = Actor("bank", command, self.folder / "bank.log")
        self._start(self._bank)
        self.until(self._bank_answers, "the bank is open")

    def _bank_answers(self) -> bool:
        with suppress(OSError, HTTPException):
            DIRECT.open(f"{self.env['BANK_URL']}/ledger", timeout=2).close()
            return True
        return False

    def open(self) -> None:
        """Make the tables, list the goods, and start everybody."""
        self.run("manage.py", "migrate", "--noinput", "-v0")
        self.run("-m", traffic.__name__, str(self.folder), traffic.OPENING)
        for name, command in self._cast().items():
            probed = not name.startswith("traffic")
            self.actors[name] = Actor(name, command, self.folder / f"{name}.log", probed)
            self._start(self.actors[name])
        self.until(self.all_ready, "the house is open")

    def _cast(self) -> dict[str, Sequence[str]]:
        relay = ("manage.py", "runrelay")
        customers = ("-m", traffic.__name__, str(self.folder))
        return {
            "worker contexts": (*WORKER, "-Q", ",".join(CONTEXTS)),
            "worker outside": (*WORKER, "-Q", ",".join(OUTSIDE)),
            "relay 1": relay,
            "relay 2": relay,
            "traffic 1": (*customers, "1"),
            "traffic 2": (*customers, "2"),
        }

    def named(self, kind: str) -> list[str]:
        """Return the names of all relays, workers, or traffic."""
        return [name for name in self.actors if name.startswith(kind)]

    def _start(self, actor: Actor) -> None:
        self.groups.append(actor.start(self.env, self.root))

    def tend(self) -> None:
        """Start again whoever has died; note who ended by themselves."""
        for actor in self.actors.values():
            if actor.process is not None and not actor.alive:
                code = actor.process.returncode
                if code != -signal.SIGKILL:
                    self.ended.append(End(actor.name, code, time.time(), actor.last_word()))
                self._start(actor)

    def all_ready(self) -> bool:
        """Whether everybody is there."""
        self.tend()
        return all(actor.ready for actor in self.actors.values())

    def ready(self) -> frozenset[str]:
        """Return who is there."""
        return frozenset(actor.name for actor in self.actors.values() if actor.ready)

    def words(self) -> list[str]:
        """Say what each says of itself."""
        return [f"{actor.name} says: {actor.word()}" for actor in self.actors.values()]

    def until(
        self, holds: Callable[[], bool], what: str, look: Callable[[], Hashable] | None = None
    ) -> float:
        """Wait until it holds, as long as there is progress, and return how long that took.

        Progress is that `look` (by default: at who is there) sees something new. Raises Stuck.
        """
        begun, patience = time.monotonic(), Progress(look or self.ready)
        while not holds():
            if patience.gone():
                waited = f"waited {time.monotonic() - begun:.0f} s until {what}"
                raise Stuck(f"{waited}; nothing has changed for the last {patience.seconds:.0f}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def run(self, *command: str) -> str:
        """Run a process to its end, and return what it said. Raises Stuck."""
        try:
            done = subprocess.run(
                [sys.executable, *command],
                env=self.env,
                cwd=self.root,
                capture_output=True,
                text=True,
                timeout=RUN_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as slow:
            raise Stuck(f"{' '.join(command)} has not ended in {RUN_PATIENCE:.0f} s") from slow
        if done.returncode:
            raise Stuck(f"{' '.join(command)} failed: {done.stdout}{done.stderr}"[-3000:])
        return done.stdout

    def dismiss(self, kind: str) -> None:
        """Let some end in good order."""
        leaving = [self.actors.pop(name) for name in self.named(kind)]
        end([actor.process for actor in leaving if actor.process])

    def close(self) -> None:
        """End everybody, and whoever outlived a parent that was killed."""
        everybody = [*self.actors.values(), self._bank]
        end([actor.process for actor in everybody if actor.process])
        for group in self.groups:
            end_group(group)
        self.actors.clear()
