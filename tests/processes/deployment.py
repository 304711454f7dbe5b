"""Kabar as its users run it: real processes, with a database of their own."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import redis
from django.conf import settings
from psycopg import sql

from tools.devserver.child_process import spawn

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT = 30.0  # seconds: for a start on a busy machine
CONTEXTS = ",".join(settings.CONTEXTS)
SHORT_TIMEOUTS = {"DJANGO_SETTINGS_MODULE": "tests.processes.short_timeouts"}
# No proxy of the environment stands between us and our own processes.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(predicate: Callable[[], Any], seconds: float = TIMEOUT) -> Any:
    """Return the predicate's value once it is truthy; fail when it does not become so."""
    deadline = time.monotonic() + seconds
    while not (found := predicate()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain"
        time.sleep(0.02)
    return found


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """A process of the deployment, and where it answers."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    port: int

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def output(self) -> str:
        """Everything that it has printed."""
        return self.log.read_text(errors="replace")

    def get(self, path: str, seconds: float = 10.0) -> tuple[int, Any]:
        """Ask for JSON and return status and answer; (0, reason) without an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        try:
            with DIRECT.open(request, timeout=seconds) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or "null")
        except OSError as error:
            return 0, str(error)

    def health(self, kind: str, seconds: float = 10.0) -> str:
        """Return the status of /health/live or /health/ready, or `unreachable`."""
        status, answer = self.get(f"/health/{kind}", seconds)
        assert (status == 200) == (status != 0 and answer["status"] == "ok"), (status, answer)
        return str(answer["status"]) if status else "unreachable"

    def until(self, kind: str, word: str, seconds: float = TIMEOUT) -> None:
        """Wait until the probe has a status."""

        def reached() -> bool:
            assert self.running or word == "unreachable", f"{self.name} has ended:\n{self.output}"
            return self.health(kind).startswith(word)

        wait_until(reached, seconds)

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def wait(self, seconds: float = TIMEOUT) -> int:
        """Wait for its end and return its exit code."""
        return self.popen.wait(seconds)

    def stop(self) -> None:
        """End it and its children; it leads a process group of its own."""
        if self.running:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """Kill it and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


@dataclass
class Deployment:
    """An environment and the processes started in it; all end with the test."""

    env: dict[str, str]
    folder: Path
    started: list[Process] = field(default_factory=list)

    def relay(self, **env: str) -> Process:
        """Start `manage.py runrelay`."""
        return self.start("relay", ["manage.py", "runrelay"], **env)

    def worker(self, *options: str, queues: str = CONTEXTS, **env: str) -> Process:
        """Start a Celery worker with two children."""
        command = ["-m", "celery", "-A", "config", "worker", "-c2", "-Q", queues, *options]
        return self.start("worker", [*command, "-n", f"{uuid4()}@%h"], **env)

    def web(self, **env: str) -> Process:
        """Start gunicorn."""
        command = ["-m", "gunicorn", "-c", "config/gunicorn.py", "config.wsgi"]
        return self.start("web", command, **env)

    def manage(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPOSITORY,
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=10 * TIMEOUT,
            check=False,
        )

    def start(self, name: str, arguments: Sequence[str], **env: str) -> Process:
        """Start a Python process with a port of its own; a killed test takes it along."""
        port, log = free_port(), self.folder / f"{len(self.started)}-{name}.log"
        ports = {"PORT": str(port), "HEALTH_PORT": str(port)}
        with log.open("wb") as output:
            popen = spawn(
                [sys.executable, *arguments],
                signal.SIGKILL,
                output=output,
                env=self.env | ports | env,
                cwd=REPOSITORY,
            )
        self.started.append(Process(name, popen, log, port))
        return self.started[-1]

    def stop(self) -> None:
        """Kill all processes: a test that is about an orderly end has seen it by now."""
        for process in reversed(self.started):
            process.kill()

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement on the deployment's database and return its rows."""
        if "DATABASE_URL" not in self.env:
            file = f"{self.env['VAR_DIR']}/kabar.sqlite3"
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                return connection.execute(statement, values).fetchall()
        with psycopg.connect(self.env["DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Block all processes that touch the table."""
        with psycopg.connect(self.env["DATABASE_URL"]) as connection:
            name = sql.Identifier(table)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
            yield
            connection.rollback()

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Disconnect all clients from the database, and refuse new ones."""
        name = sql.Identifier(database_name(self.env["DATABASE_URL"]))
        _administer(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        _administer(
            sql.SQL(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}"
            ).format(sql.Literal(database_name(self.env["DATABASE_URL"])))
        )
        try:
            yield
        finally:
            _administer(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))

    def waits_for_a_lock(self) -> bool:
        """Whether a process of the deployment waits for the lock that `locked` holds."""
        waiting = """SELECT 1 FROM pg_stat_activity
                     WHERE wait_event_type = 'Lock' AND datname = current_database()"""
        return bool(self.sql(waiting))


def database_name(url: str) -> str:
    """Return the database an address names."""
    return urlsplit(url).path.removeprefix("/")


def database(name: str, template: str | None = None) -> str:
    """Make a database on the session's server, a copy of the template, and return its address."""
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template:
        create += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    drop(name)
    _administer(create)
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def drop(name: str) -> None:
    """Drop a database, with its open connections."""
    _administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(statement: sql.Composed) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(statement)


def empty_broker(url: str) -> None:
    """Remove the messages of another deployment: TEST_BROKER_URL is for tests alone."""
    if url.startswith("redis"):
        url = url.replace("redis+socket", "unix").replace("virtual_host", "db")
        with redis.Redis.from_url(url) as client:
            client.flushdb()
