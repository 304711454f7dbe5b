"""Several processes as one: their lines under their names, and one end in good order for all."""

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
TICK = 0.1
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92)


class ChildEnded(Exception):
    """A process ended that should not have."""


class Ending:
    """How often we were asked to end: by Ctrl-C, SIGTERM or a terminal that closed."""

    def __init__(self) -> None:
        self.asked = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1


@dataclass
class Child:
    """A process and what is left of the line it is about to say."""

    name: str
    process: subprocess.Popen[bytes]
    colour: int
    rest: bytes = field(default=b"")

    @property
    def pipe(self) -> int:
        """Where it is heard: what it prints, errors included."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def speak(self) -> bool:
        """Print the lines it has said; False when it will never say any more."""
        heard = os.read(self.pipe, 65536)
        *lines, self.rest = (self.rest + heard).split(b"\n")
        if self.rest and not heard:
            lines.append(self.rest)
        for line in lines:
            say(self.name, line.decode(errors="replace").rstrip("\r"), self.colour)
        return bool(heard)


class Supervisor:
    """Starts children, hears them and ends them; all from one thread, as `spawn` wants it."""

    def __init__(self, ending: Ending, environment: dict[str, str], folder: Path) -> None:
        self.ending = ending
        self.environment = environment | {"PYTHONUNBUFFERED": "1"}
        self.folder = folder
        self.children: list[Child] = []
        self.pipes = selectors.DefaultSelector()
        self.guard = subprocess.Popen(
            [sys.executable, "-I", reaper.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def run_all(self, commands: Mapping[str, Sequence[str]]) -> None:
        """Run children one after the other; the next needs what the last has done."""
        for name, command in commands.items():
            if not self.ending.asked:
                self.run(name, command)

    def start_all(self, commands: Mapping[str, Sequence[str]]) -> None:
        """Start children in this order; they end the other way round."""
        for name, command in commands.items():
            if not self.ending.asked:
                self.start(name, command)

    def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a child that a killed supervisor takes with it."""
        process = spawn(
            command,
            signal.SIGKILL,
            output=subprocess.PIPE,
            env=self.environment,
            cwd=self.folder,
        )
        child = Child(name, process, COLOURS[len(self.children) % len(COLOURS)])
        self.children.append(child)
        self._tell_guard(process.pid)
        self.pipes.register(child.pipe, selectors.EVENT_READ, child)
        return child

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run a child to its end, unless we are asked to end before; it has to succeed."""
        child = self.start(name, command)
        while child.process.poll() is None and not self.ending.asked:
            self.hear()
        self._end(child)
        if child.process.returncode != 0 and not self.ending.asked:
            raise ChildEnded(f"{name} failed with {child.process.returncode}.")

    def watch(self, look: Callable[[], None]) -> None:
        """Return when asked to end; `look` is called ten times a second and may raise."""
        while not self.ending.asked:
            self.hear()
            look()
            for child in self.children:
                if child.process.poll() is not None:
                    raise ChildEnded(f"{child.name} ended with {child.process.returncode}.")

    def hear(self) -> None:
        """Print what was said within a tick; unheard children would stand still on a full pipe."""
        for key, _ in self.pipes.select(TICK):
            if not key.data.speak():
                self.pipes.unregister(key.fileobj)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """End all, the last started first; asked a second time, at once."""
        for child in reversed(self.children.copy()):
            self._end(child)
        self.pipes.close()
        self.guard.communicate()

    def _tell_guard(self, group: int) -> None:
        assert self.guard.stdin is not None
        # Who killed the guard has no more of its protection, and everything else.
        with suppress(BrokenPipeError):
            self.guard.stdin.write(f"{group}\n".encode())
            self.guard.stdin.flush()

    def _end(self, child: Child) -> None:
        child.process.terminate()
        deadline = time.monotonic() + GRACE
        while child.process.poll() is None and self.ending.asked < 2:
            if time.monotonic() > deadline:
                say("kabar", f"{child.name} did not end within {GRACE:.0f} seconds and is killed")
                break
            self.hear()
        # What it started itself goes as well; it leads a group of its own.
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self._tell_guard(-child.process.pid)
        self._forget(child)

    def _forget(self, child: Child) -> None:
        self.children.remove(child)
        if child.pipe in self.pipes.get_map():
            os.set_blocking(child.pipe, False)
            with suppress(BlockingIOError):
                while child.speak():
                    pass
            self.pipes.unregister(child.pipe)
        assert child.process.stdout is not None
        child.process.stdout.close()


def say(name: str, line: str, colour: int = 1) -> None:
    """Print a line under a name; a reader that has gone is a terminal that closed."""
    prefix = f"{name:<9}|"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
    try:
        print(prefix, line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        signal.raise_signal(signal.SIGHUP)
