"""The deployment on one machine without Docker: `make stack`, `python -m tools.devserver.stack`.

PostgreSQL, Valkey, web, relay, two workers and a fake bank, until Ctrl-C; data stays. Variables:

DATABASE_URL, BROKER_URL, CACHE_URL, BANK_URL   a running server; without it, one is started
PORT, BANK_PORT                                 ports of web and the fake bank: 8000, 8100
KABAR_STACK_DIR                                 folder of data and logs: var/stack
"""

import argparse
import fcntl
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from string import Template

from tools.devserver.servers import NoServers, Server, ServerDied, needed, running
from tools.devserver.supervisor import ChildEnded, StopRequests, Supervisor, log

ROOT = Path(__file__).resolve().parents[2]
MANAGE = (sys.executable, "manage.py")
WORKER = (sys.executable, "-m", "celery", "-q", "-A", "config", "worker", "-c", "3")

# Run one after the other before the start.
PREPARE: dict[str, Sequence[str]] = {
    "migrate": (*MANAGE, "migrate", "--noinput"),
    "static": (*MANAGE, "collectstatic", "--noinput", "-v0"),
    "demoshop": (*MANAGE, "demoshop"),
}
# Started in this order, stopped in the reverse order; $NAME is a variable. External calls have a
# worker of their own: a mail server that hangs must not delay stock.
CHILDREN: dict[str, Sequence[str]] = {
    "bank": (*MANAGE, "runbank", "--port", "$BANK_PORT"),
    "external": (*WORKER, "-Q", "payments,notifications", "-n", "external@%h"),
    "contexts": (
        *WORKER,
        "-Q",
        "orders,inventory,analytics,accounts$MORE_QUEUES",
        "-n",
        "contexts@%h",
    ),
    "relay": (*MANAGE, "runrelay"),
    "web": (sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi"),
}
DEFAULTS = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "PORT": "8000",
    "BANK_PORT": "8100",
    "KABAR_STACK_DIR": "var/stack",
}
# A proxy named in the environment would not reach the web process on loopback.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Occupied(Exception):
    """A port or the folder is used by another process."""


class OpenNotice:
    """Prints once that the web process answers."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.next_probe = time.monotonic()
        self.open = False

    def probe(self) -> None:
        """Probe the web process twice a second until it answers."""
        if self.open or time.monotonic() < self.next_probe:
            return
        with suppress(OSError, HTTPException):
            DIRECT.open(f"{self.address}/health/live", timeout=1).close()
            self.open = True
            log("kabar", f"Kabar is open at {self.address}")
        self.next_probe = time.monotonic() + 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 after a request to stop, 1 after an error."""
    _parser().parse_args(arguments)
    requests = StopRequests()
    environment = _environment()
    try:
        with _locked(ROOT / environment["KABAR_STACK_DIR"]) as folder:
            _run(requests, needed(folder, given=environment), environment)
    except (Occupied, NoServers, ServerDied, ChildEnded) as error:
        log("kabar", str(error))
        return 1
    log("kabar", "The stack has stopped.")
    return 0


def _run(requests: StopRequests, wanted: list[Server], environment: dict[str, str]) -> None:
    children = _children(environment)
    _check_ports(children, environment)
    notice = OpenNotice(int(environment["PORT"]))

    def check() -> None:
        for server in wanted:
            if not server.alive:
                raise ChildEnded(f"{server.name} ended; its log is {server.log}.")
        notice.probe()

    with running(wanted) as addresses:
        for name in addresses.keys() - environment.keys():
            log("kabar", f"{name}={addresses[name]}")
        with Supervisor(requests, addresses | environment, ROOT) as supervisor:
            supervisor.run_all(PREPARE)
            supervisor.start_all(children)
            supervisor.watch(check)


def _environment() -> dict[str, str]:
    """Return the environment with defaults; an empty variable counts as unset."""
    ours = DEFAULTS | {name: value for name, value in os.environ.items() if value}
    more = "".join(
        f",{context}" for context in ours.get("EXTRA_CONTEXTS", "").split(",") if context
    )
    bank = f"http://127.0.0.1:{ours['BANK_PORT']}"
    return {"BANK_URL": bank, "MORE_QUEUES": more} | ours


def _children(environment: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Return the commands to start; BANK_URL replaces the fake bank."""
    has_bank = os.environ.get("BANK_URL")
    return {
        name: [Template(part).safe_substitute(environment) for part in command]
        for name, command in CHILDREN.items()
        if not (name == "bank" and has_bank)
    }


def _check_ports(children: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
    """Refuse a used port: its owner's answer would count as the web process's."""
    for name, variable in (("web", "PORT"), ("bank", "BANK_PORT")):
        port = int(environment[variable])
        if name in children and (error := _bind_error(port)):
            hint = f"use another: {variable}={port + 1} make stack"
            raise Occupied(f"Port {port} cannot be used ({error}); {hint}.")


def _bind_error(port: int) -> str | None:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    """Lock the folder: two Valkeys would write to one file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "set KABAR_STACK_DIR to use another folder"
            raise Occupied(f"Another stack runs in {folder}; {hint}.") from None
        yield folder


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="python -m tools.devserver.stack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


if __name__ == "__main__":
    sys.exit(main())
