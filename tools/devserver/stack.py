"""The full set on one machine without Docker: `python -m tools.devserver.stack`, or `make stack`.

PostgreSQL, Valkey, web, relay, two workers and a fake bank, until Ctrl-C; data stays. Variables:

DATABASE_URL, BROKER_URL, CACHE_URL, BANK_URL   a server to use in place of one started here
PORT, BANK_PORT                                 where web and the fake bank listen: 8000, 8100
KABAR_STACK_DIR                                 where data and logs are kept: var/stack
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
from tools.devserver.supervisor import ChildEnded, Ending, Supervisor, say

ROOT = Path(__file__).resolve().parents[2]
MANAGE = (sys.executable, "manage.py")
WORKER = (sys.executable, "-m", "celery", "-q", "-A", "config", "worker", "-c", "3")

# Each to its end, before the house opens.
PREPARE: dict[str, Sequence[str]] = {
    "migrate": (*MANAGE, "migrate", "--noinput"),
    "static": (*MANAGE, "collectstatic", "--noinput", "-v0"),
    "demoshop": (*MANAGE, "demoshop"),
}
# In the order in which they start; they end the other way round. $NAME is a variable. What calls
# the outside has a worker of its own: a mail server that hangs must not delay stock.
CHILDREN: dict[str, Sequence[str]] = {
    "bank": (*MANAGE, "runbank", "--port", "$BANK_PORT"),
    "outside": (*WORKER, "-Q", "payments,notifications", "-n", "outside@%h"),
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
# No proxy of the environment stands between us and our own web process.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NoPlace(Exception):
    """Something else stands where the stack should."""


class Door:
    """Says once, when web answers, that the house is open."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.look_at = time.monotonic()
        self.open = False

    def look(self) -> None:
        """Ask web twice a second, until it answers."""
        if self.open or time.monotonic() < self.look_at:
            return
        with suppress(OSError, HTTPException):
            DIRECT.open(f"{self.address}/health/live", timeout=1).close()
            self.open = True
            say("kabar", f"Kabar is open at {self.address}")
        self.look_at = time.monotonic() + 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when asked to end, 1 when something else ended the stack."""
    _parser().parse_args(arguments)
    ending = Ending()
    environment = _environment()
    try:
        with _claimed(ROOT / environment["KABAR_STACK_DIR"]) as folder:
            _run(ending, needed(folder, given=environment), environment)
    except (NoPlace, NoServers, ServerDied, ChildEnded) as error:
        say("kabar", str(error))
        return 1
    say("kabar", "The stack has ended.")
    return 0


def _run(ending: Ending, wanted: list[Server], environment: dict[str, str]) -> None:
    children = _children(environment)
    _check_ports(children, environment)
    door = Door(int(environment["PORT"]))

    def look() -> None:
        for server in wanted:
            if not server.alive:
                raise ChildEnded(f"{server.name} ended; its log is {server.log}.")
        door.look()

    with running(wanted) as addresses:
        for name in addresses.keys() - environment.keys():
            say("kabar", f"{name}={addresses[name]}")
        with Supervisor(ending, addresses | environment, ROOT) as supervisor:
            supervisor.run_all(PREPARE)
            supervisor.start_all(children)
            supervisor.watch(look)


def _environment() -> dict[str, str]:
    """Return ours with the defaults filled in; a variable set to nothing counts as unset."""
    ours = DEFAULTS | {name: value for name, value in os.environ.items() if value}
    more = "".join(
        f",{context}" for context in ours.get("EXTRA_CONTEXTS", "").split(",") if context
    )
    bank = f"http://127.0.0.1:{ours['BANK_PORT']}"
    return {"BANK_URL": bank, "MORE_QUEUES": more} | ours


def _children(environment: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Return those to start: who names a bank needs no fake one."""
    has_bank = os.environ.get("BANK_URL")
    return {
        name: [Template(part).safe_substitute(environment) for part in command]
        for name, command in CHILDREN.items()
        if not (name == "bank" and has_bank)
    }


def _check_ports(children: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
    """Refuse a port that is taken, before another's answer is mistaken for ours."""
    for name, variable in (("web", "PORT"), ("bank", "BANK_PORT")):
        port = int(environment[variable])
        if name in children and (trouble := _trouble_at(port)):
            hint = f"{variable}={port + 1} make stack takes another"
            raise NoPlace(f"Port {port} cannot be had ({trouble}); {hint}.")


def _trouble_at(port: int) -> str | None:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None


@contextmanager
def _claimed(folder: Path) -> Iterator[Path]:
    """Yield the folder to one stack at a time: two Valkeys would write to one file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "KABAR_STACK_DIR names another place"
            raise NoPlace(f"Another stack runs in {folder}; {hint}.") from None
        yield folder


def _parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog="python -m tools.devserver.stack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


if __name__ == "__main__":
    sys.exit(main())
