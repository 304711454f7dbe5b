"""One process that a storm may kill, and that is started again."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from tools.devserver.child_process import spawn

# No proxy of the environment stands between us and our own processes.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Actor:
    """One process that is there all the time, whatever happens to it."""

    name: str
    command: Sequence[str]
    log: Path
    probed: bool = True
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    up: bool = False

    @property
    def pid(self) -> int:
        """Of the process that is there now."""
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, or is frozen."""
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it has said so itself since it started: to be asked all the time costs it."""
        if not self.probed or self.up:
            return self.alive
        self.up = self.word() == "ok"
        return self.up

    def word(self) -> str:
        """Return what it says of itself now."""
        if not self.alive or not self.probed:
            return "ok" if self.alive else "ended"
        try:
            with DIRECT.open(f"http://127.0.0.1:{self.port}/health/ready", timeout=2) as answer:
                return str(json.load(answer)["status"])
        except HTTPError as no:
            return str(json.load(no)["status"])
        except (OSError, HTTPException, ValueError):
            return "deaf"

    def last_word(self) -> str:
        """Return the last line it has printed."""
        said = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip()[-160:] for line in reversed(said) if line.strip()), "")

    def start(self, env: Mapping[str, str], root: Path) -> int:
        """Begin, at a port of its own, and return the number of its group."""
        self.port, self.up = free_port(), False
        command = list(self.command)
        if self.name.startswith("worker"):
            command += ["-n", f"{self.port}@%h"]
        with self.log.open("ab") as log:
            self.process = spawn(
                [sys.executable, *command],
                signal.SIGKILL,
                output=log,
                env={**env, "HEALTH_PORT": str(self.port)},
                cwd=root,
            )
        return self.pid

    def kill(self) -> None:
        """End it without a word; its children are left to themselves."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def children(self) -> list[int]:
        """Return the processes it has forked."""
        with suppress(OSError):
            listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            return [int(child) for child in listed.split()]
        return []


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Ask all to end; who does not is killed."""
    for process in processes:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    for process in processes:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_group(group: int) -> None:
    """End whoever is left of a process and those it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
