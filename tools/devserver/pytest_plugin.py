"""Starts real servers before Django's settings are read: `-p tools.devserver.pytest_plugin`.

Servers that already run are used only if TEST_DATABASE_URL, TEST_CACHE_URL or TEST_BROKER_URL name
them, and KABAR_TEST_DB=sqlite needs none at all. BROKER_URL stays
unset, so that the bus runs in-process; tests that start real workers give them TEST_BROKER_URL.

With `-n 2` only the controller acts here, and the workers of pytest-xdist inherit its environment.
They share PostgreSQL, where pytest-django gives each a database, and have a Valkey each.
"""

import os
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import execnet
import psycopg
import pytest
import redis
from kombu import Connection

from tools.devserver.servers import NoServers, Valkey, needed, running

NAMES = ("DATABASE_URL", "BROKER_URL", "CACHE_URL")
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"
NOT_RUN = pytest.StashKey[str]()


def on_sqlite() -> bool:
    """Whether this run is without servers."""
    return os.environ.get("KABAR_TEST_DB") == "sqlite"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Set the environment before pytest-django reads the settings in the same hook."""
    for name in NAMES:
        os.environ.pop(name, None)
        os.environ.pop(f"{name}_FILE", None)
    os.environ.setdefault("RABBITMQ_URL", RABBITMQ)
    if not on_sqlite():
        os.environ.update(_variables(_addresses(early_config)))
    return (yield)


def _addresses(config: pytest.Config) -> dict[str, str]:
    """Start the servers missing in the environment, until the end of the session."""
    given = {name: url for name in NAMES if (url := os.environ.get(f"TEST_{name}"))}
    session = ExitStack()
    config.add_cleanup(session.close)
    root = session.enter_context(TemporaryDirectory(prefix="kabar-test-"))
    try:
        wanted = needed(Path(root), durable=False, given=given)
        addresses = session.enter_context(running(wanted)) | given
    except NoServers as error:
        hint = "In tests these names begin with TEST_; KABAR_TEST_DB=sqlite needs no server."
        raise pytest.UsageError(f"{error} {hint}") from None
    config.pluginmanager.register(Workers(session, Path(root), given))
    return addresses


@dataclass(frozen=True)
class Workers:
    """Gives each worker of pytest-xdist a Valkey: tests empty it, and count its keys."""

    session: ExitStack
    root: Path
    given: Mapping[str, str]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[execnet.XSpec]) -> None:
        """Refuse workers that would empty one another's caches and queues."""
        if self.given.keys() & {"BROKER_URL", "CACHE_URL"} and len(specs) > 1:
            raise pytest.UsageError(
                "Workers cannot share TEST_BROKER_URL or TEST_CACHE_URL. Unset them, or use -n 0."
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_newgateway(self, gateway: execnet.Gateway) -> None:
        """Start a Valkey, and name it to the worker before that reads Django's settings."""
        if self.given.keys() & {"BROKER_URL", "CACHE_URL"}:
            return
        valkey = self.session.enter_context(Valkey(self.root / gateway.id))
        channel = gateway.remote_exec(
            "import os; os.environ.update(channel.receive()); channel.send(None)"
        )
        channel.send(_variables(valkey.environment()))
        channel.receive()


def _variables(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return the environment by which settings and tests find these servers."""
    names = {"BROKER_URL": "TEST_BROKER_URL"}
    return {names.get(name, name): url for name, url in addresses.items()}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, so that a mistyped one is an error."""
    config.addinivalue_line("markers", "rabbitmq: needs a RabbitMQ that answers at RABBITMQ_URL.")
    config.addinivalue_line("markers", "postgres: proves something that SQLite cannot do.")


def pytest_report_header() -> str:
    """Print the versions of the servers."""
    if on_sqlite():
        return f"servers: none; SQLite {sqlite3.sqlite_version}, on request of KABAR_TEST_DB"
    return f"servers: {_database_version()}, {_cache_version()}"


def _database_version() -> str:
    url = os.environ["DATABASE_URL"]
    if not url.startswith("postgres"):
        return url.partition(":")[0]
    with psycopg.connect(url) as connection:
        return f"PostgreSQL {connection.info.parameter_status('server_version')}"


def _cache_version() -> str:
    with redis.Redis.from_url(os.environ["CACHE_URL"]) as client:
        about = client.info("server")
    if "valkey_version" in about:
        return f"Valkey {about['valkey_version']}"
    return f"Redis {about['redis_version']}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests that cannot run here, with the reason."""
    rabbitmq = [item for item in items if item.get_closest_marker("rabbitmq")]
    if rabbitmq and (reason := _rabbitmq_error()):
        config.stash[NOT_RUN] = f"{reason}; tests not run: {len(rabbitmq)}"
        _skip(rabbitmq, reason)
    if on_sqlite():
        postgres = [item for item in items if item.get_closest_marker("postgres")]
        _skip(postgres, "SQLite cannot do this; run without KABAR_TEST_DB")


def _skip(items: list[pytest.Item], reason: str) -> None:
    for item in items:
        item.add_marker(pytest.mark.skip(reason=reason))


def _rabbitmq_error() -> str | None:
    """Return why RabbitMQ cannot be used; an open port alone is no RabbitMQ."""
    with Connection(os.environ["RABBITMQ_URL"], connect_timeout=2) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0)
        except Exception as error:
            return f"RabbitMQ did not answer at {connection.as_uri()} ({error})"
    return None


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print which tests were not run."""
    if not_run := config.stash.get(NOT_RUN, None):
        terminalreporter.write_sep("!", not_run, yellow=True, bold=True)
