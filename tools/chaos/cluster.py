"""The processes of a chaos test: started, watched, and started again after they died."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from tools.chaos import embedded_shop, traffic
from tools.chaos.processes import DIRECT, ManagedProcess, free_port, kill_group, terminate
from tools.chaos.progress import Progress, Stuck

WORKER = ("-m", "celery", "-q", "-A", "config", "worker", "-c", "2", "--without-mingle")
COMMAND_TIMEOUT = 600.0  # seconds
CONTEXTS = ("orders", "inventory", "analytics", "accounts", "chaosevents")
EXTERNAL_CONTEXTS = ("payments", "notifications")
# How a process ends by a fault; in one process a handler's abort() and _exit(3) end all of it.
KILLED = {"shop": (-signal.SIGKILL, -signal.SIGABRT, 3)}


@dataclass(frozen=True)
class UnexpectedExit:
    """The end of a process that was not killed."""

    name: str
    code: int
    at: float  # in Unix time
    last_line: str

    def __str__(self) -> str:
        return f"{self.name} ended by itself with {self.code}: {self.last_line}"


@dataclass
class Cluster:
    """The processes, and the environment they share."""

    env: dict[str, str]
    folder: Path
    root: Path
    processes: dict[str, ManagedProcess] = field(default_factory=dict)
    groups: list[int] = field(default_factory=list)
    unexpected_exits: list[UnexpectedExit] = field(default_factory=list)
    embedded: bool = False

    def start_bank(self) -> None:
        """Start the fake bank, which no fault hits: its ledger is the reference for money."""
        port = free_port()
        self.env["BANK_URL"] = f"http://127.0.0.1:{port}"
        command = ("manage.py", "runbank", "--port", str(port))
        self._bank = ManagedProcess("bank", command, self.folder / "bank.log")
        self._start(self._bank)
        self.wait_until(self._bank_answers, "the bank answers")

    def _bank_answers(self) -> bool:
        with suppress(OSError, HTTPException):
            DIRECT.open(f"{self.env['BANK_URL']}/ledger", timeout=2).close()
            return True
        return False

    def start(self) -> None:
        """Migrate, list the products, and start all processes."""
        self.run("manage.py", "migrate", "--noinput", "-v0")
        self.run("-m", traffic.__name__, str(self.folder), traffic.SETUP)
        for name, command in self._commands().items():
            probed = not name.startswith("traffic")
            process = ManagedProcess(name, command, self.folder / f"{name}.log", probed)
            self.processes[name] = process
            self._start(process)
        self.wait_until(self.all_ready, "all processes are ready")

    def _commands(self) -> dict[str, Sequence[str]]:
        relay = ("manage.py", "runrelay")
        customers = ("-m", traffic.__name__, str(self.folder))
        if self.embedded:
            shop = ("-m", embedded_shop.__name__, str(self.folder))
            return {"shop": (*shop, "shop"), "traffic 1": (*customers, "1")}
        return {
            "worker contexts": (*WORKER, "-Q", ",".join(CONTEXTS)),
            "worker external": (*WORKER, "-Q", ",".join(EXTERNAL_CONTEXTS)),
            "relay 1": relay,
            "relay 2": relay,
            "traffic 1": (*customers, "1"),
            "traffic 2": (*customers, "2"),
        }

    def names(self, kind: str) -> list[str]:
        """Return the names of all relays, workers, or traffic generators."""
        return [name for name in self.processes if name.startswith(kind)]

    def _start(self, process: ManagedProcess) -> None:
        self.groups.append(process.start(self.env, self.root))

    def restart_dead(self) -> None:
        """Start dead processes again; record those that no fault has ended."""
        for process in self.processes.values():
            if process.process is not None and not process.alive:
                code = process.process.returncode
                if code not in KILLED.get(process.name, (-signal.SIGKILL,)):
                    exit = UnexpectedExit(process.name, code, time.time(), process.last_line())
                    self.unexpected_exits.append(exit)
                self._start(process)

    def all_ready(self) -> bool:
        """Start dead processes again, and return whether all are ready."""
        self.restart_dead()
        return all(process.ready for process in self.processes.values())

    def ready(self) -> frozenset[str]:
        """Return the names of the processes that are ready."""
        return frozenset(process.name for process in self.processes.values() if process.ready)

    def statuses(self) -> list[str]:
        """Return a line a process, with its health."""
        return [f"{process.name}: {process.health()}" for process in self.processes.values()]

    def wait_until(
        self,
        condition: Callable[[], bool],
        description: str,
        observe: Callable[[], Hashable] | None = None,
    ) -> float:
        """Wait as long as there is progress, and return the seconds. Raises Stuck.

        There is progress while `observe` (default: the names of ready processes) returns values
        that it has not returned before.
        """
        begun, progress = time.monotonic(), Progress(observe or self.ready)
        while not condition():
            if progress.stalled():
                waited = f"waited {time.monotonic() - begun:.0f} s until {description}"
                raise Stuck(f"{waited}; nothing has changed for the last {progress.seconds:.0f}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> str:
        """Run a Python command to its end, and return its output. Raises Stuck."""
        try:
            done = subprocess.run(
                [sys.executable, *command],
                env=env or self.env,
                cwd=self.root,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as slow:
            raise Stuck(f"{' '.join(command)} has not ended in {COMMAND_TIMEOUT:.0f} s") from slow
        if done.returncode:
            raise Stuck(f"{' '.join(command)} failed: {done.stdout}{done.stderr}"[-3000:])
        return done.stdout

    def stop(self, kind: str) -> None:
        """End all relays, workers, or traffic generators, for good."""
        stopping = [self.processes.pop(name) for name in self.names(kind)]
        terminate([process.process for process in stopping if process.process])

    def close(self) -> None:
        """End all processes, and the children that outlived a killed parent."""
        processes = [*self.processes.values(), self._bank]
        terminate([process.process for process in processes if process.process])
        for group in self.groups:
            kill_group(group)
        self.processes.clear()
