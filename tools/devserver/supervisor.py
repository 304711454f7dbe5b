"""Runs several processes as one: output under their names, and an end in order for all."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Self

from tools.devserver import reaper
from tools.devserver.child_process import spawn

# Seconds a child may take to end; a worker finishes the delivery it is at.
GRACE = 15.0
POLL_INTERVAL = 0.1
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)


class ChildEnded(Exception):
    """A process ended by itself."""


class StopRequests:
    """Counts requests to stop: Ctrl-C, SIGTERM, or a closed terminal."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._add)

    def _add(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


@dataclass
class Child:
    """A process, and the beginning of its next line of output."""

    name: str
    process: subprocess.Popen[bytes]
    colour: int
    partial_line: bytes = field(default=b"")

    @property
    def pipe(self) -> int:
        """File descriptor of its output and errors."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def forward_output(self) -> bool:
        """Print its new lines; False at the end of its output."""
        read = os.read(self.pipe, 65536)
        *lines, self.partial_line = (self.partial_line + read).split(b"\n")
        if self.partial_line and not read:
            lines.append(self.partial_line)
        for line in lines:
            log(self.name, line.decode(errors="replace").rstrip("\r"), self.colour)
        return bool(read)


class Supervisor:
    """Starts children, prints their output and ends them; from one thread, as `spawn` needs it."""

    def __init__(self, requests: StopRequests, environment: dict[str, str], folder: Path) -> None:
        self.requests = requests
        self.environment = environment | {"PYTHONUNBUFFERED": "1"}
        self.folder = folder
        self.children: list[Child] = []
        self.pipes = selectors.DefaultSelector()
        self.reaper = subprocess.Popen(
            [sys.executable, "-I", reaper.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def run_all(self, commands: Mapping[str, Sequence[str]]) -> None:
        """Run commands one after the other. Raises ChildEnded where one fails."""
        for name, command in commands.items():
            if not self.requests.count:
                self.run(name, command)

    def start_all(self, commands: Mapping[str, Sequence[str]]) -> None:
        """Start children in this order; they are stopped in the reverse order."""
        for name, command in commands.items():
            if not self.requests.count:
                self.start(name, command)

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a child; it is killed when the supervisor is killed."""
        process = spawn(
            command,
            signal.SIGKILL,
            output=subprocess.PIPE,
            env=self.environment,
            cwd=self.folder,
        )
        child = Child(name, process, COLOURS[len(self.children) % len(COLOURS)])
        self.children.append(child)
        self._notify_reaper(process.pid)
        self.pipes.register(child.pipe, selectors.EVENT_READ, child)
        return child

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run a command until it ends or a stop is requested. Raises ChildEnded where it fails."""
        child = self.start(name, command)
        while child.process.poll() is None and not self.requests.count:
            self.forward_output()
        self._stop(child)
        if child.process.returncode != 0 and not self.requests.count:
            raise ChildEnded(f"{name} failed with {child.process.returncode}.")

    def watch(self, check: Callable[[], None]) -> None:
        """Return when a stop is requested; `check` is called ten times a second and may raise."""
        while not self.requests.count:
            self.forward_output()
            check()
            for child in self.children:
                if child.process.poll() is not None:
                    raise ChildEnded(f"{child.name} ended with {child.process.returncode}.")

    def forward_output(self) -> None:
        """Print the children's output; without it they would block on a full pipe."""
        for key, _ in self.pipes.select(POLL_INTERVAL):
            if not key.data.forward_output():
                self.pipes.unregister(key.fileobj)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop all, the last started first; a second request to stop kills them."""
        for child in reversed(self.children.copy()):
            self._stop(child)
        self.pipes.close()
        self.reaper.communicate()

    def _notify_reaper(self, group: int) -> None:
        assert self.reaper.stdin is not None
        # Without a reaper the children go on; only the protection against SIGKILL is lost.
        with suppress(BrokenPipeError):
            self.reaper.stdin.write(f"{group}\n".encode())
            self.reaper.stdin.flush()

    def _stop(self, child: Child) -> None:
        child.process.terminate()
        deadline = time.monotonic() + GRACE
        while child.process.poll() is None and self.requests.count < 2:
            if time.monotonic() > deadline:
                log("kabar", f"{child.name} did not end within {GRACE:.0f} seconds and is killed")
                break
            self.forward_output()
        # Processes that it started are in its group, and may have outlived it.
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self._notify_reaper(-child.process.pid)
        self._remove(child)

    def _remove(self, child: Child) -> None:
        self.children.remove(child)
        if child.pipe in self.pipes.get_map():
            os.set_blocking(child.pipe, False)
            with suppress(BlockingIOError):
                while child.forward_output():
                    pass
            self.pipes.unregister(child.pipe)
        assert child.process.stdout is not None
        child.process.stdout.close()


def log(name: str, line: str, colour: int = 1) -> None:
    """Print a line under a name."""
    prefix = f"{name:<9}|"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
    try:
        print(prefix, line, flush=True)
    except BrokenPipeError:
        # The reader of our output has ended, as a terminal does that is closed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        signal.raise_signal(signal.SIGHUP)
