"""A process that a chaos test kills, and that is started again."""

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

# A proxy named in the environment would not reach processes on loopback.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class ManagedProcess:
    """A command that should be running all the time, and its current process."""

    name: str
    command: Sequence[str]
    log: Path
    probed: bool = True
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    was_ready: bool = False

    @property
    def pid(self) -> int:
        """Process id of the current process."""
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process exists; a frozen one does."""
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it has been ready since its start."""
        # Asked until the first yes only: each probe costs the process a database query.
        if not self.probed or self.was_ready:
            return self.alive
        self.was_ready = self.health() == "ok"
        return self.was_ready

    def health(self) -> str:
        """Return the status of /health/ready, `ended`, or `unreachable`."""
        if not self.alive or not self.probed:
            return "ok" if self.alive else "ended"
        try:
            with DIRECT.open(f"http://127.0.0.1:{self.port}/health/ready", timeout=2) as answer:
                return str(json.load(answer)["status"])
        except HTTPError as error:
            return str(json.load(error)["status"])
        except (OSError, HTTPException, ValueError):
            return "unreachable"

    def last_line(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip()[-160:] for line in reversed(lines) if line.strip()), "")

    def start(self, env: Mapping[str, str], root: Path) -> int:
        """Start it with a health port of its own, and return its process group."""
        self.port, self.was_ready = free_port(), False
        command = list(self.command)
        if self.name.startswith("worker"):
            command += ["-n", f"{self.port}@%h"]
        with self.log.open("ab") as log:
            self.process = spawn(
                [sys.executable, *command],
                signal.SIGKILL,
                output=log,
                env={**env, "HEALTH_PORT": str(self.port), "PORT": str(self.port)},
                cwd=root,
            )
        return self.pid

    def kill(self) -> None:
        """Kill it with SIGKILL; its children live on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def children(self) -> list[int]:
        """Return the process ids of its children."""
        with suppress(OSError):
            listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
            return [int(child) for child in listed.split()]
        return []


def terminate(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End processes by SIGTERM, and by SIGKILL after 20 seconds."""
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
    """Return an unused port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kill_group(group: int) -> None:
    """Kill the rest of a process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
