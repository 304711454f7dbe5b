"""Real servers out of the wheels: they start, answer, end, and end with their parent."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dj_database_url
import psycopg
import pytest
import redis
from django.db.utils import ConnectionHandler
from django_redis.cache import RedisCache
from kombu import Connection
from pytest_django import DjangoDbBlocker

from tools.devserver.servers import NoServers, Postgres, Valkey, servers

REPOSITORY = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from tools.devserver.servers import servers
with servers(Path(sys.argv[1]), durable=False):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _on_this_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        Postgres(tmp_path_factory.mktemp("probe"), durable=False)
    except NoServers as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def postgres(root: Path) -> Iterator[Postgres]:
    with Postgres(root, durable=False) as server:
        yield server


@pytest.fixture(scope="module")
def valkey(root: Path) -> Iterator[Valkey]:
    with Valkey(root) as server:
        yield server


def test_postgres_answers_and_keeps_what_it_acknowledged(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
        assert connection.execute("show synchronous_commit").fetchone() == ("on",)
        assert connection.execute("show fsync").fetchone() == ("off",)


def test_a_database_is_created_once(postgres: Postgres) -> None:
    assert postgres.create_database("twice") == postgres.create_database("twice")


def test_django_connects_with_the_database_url(
    postgres: Postgres, django_db_blocker: DjangoDbBlocker
) -> None:
    settings = dj_database_url.parse(postgres.create_database("kabar"))
    with django_db_blocker.unblock():
        connection = ConnectionHandler({"default": settings})["default"]
        with connection.cursor() as cursor:
            cursor.execute("select current_database()")
            assert cursor.fetchone() == ("kabar",)
        connection.close()


def test_celery_and_the_cache_find_valkey_in_databases_of_their_own(valkey: Valkey) -> None:
    with Connection(valkey.broker_url) as connection:
        queue = connection.SimpleQueue("news")
        queue.put({"what": "a teapot"})
        RedisCache(valkey.cache_url, {}).clear()
        assert queue.get(timeout=5).payload == {"what": "a teapot"}
        queue.close()


def test_a_killed_postgres_comes_back_with_what_was_committed(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create table kept as select 7 as number")
        postgres.kill()
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)


def test_valkey_answers_and_keeps_its_keys_over_a_restart(valkey: Valkey) -> None:
    with redis.Redis.from_url(valkey.cache_url) as client:
        assert client.ping()
        client.set("kept", 7)
        valkey.restart()
        assert client.get("kept") == b"7"


def test_a_path_too_long_for_a_socket_is_no_hindrance(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30)
    with Valkey(deep) as valkey, redis.Redis.from_url(valkey.url) as client:
        assert client.ping()
        assert not valkey.sockets.is_relative_to(deep)


def test_stop_leaves_no_process(tmp_path: Path) -> None:
    with servers(tmp_path, durable=False):
        assert len(_living_in(tmp_path)) > 2
    assert _living_in(tmp_path) == []


def test_a_killed_parent_leaves_no_server_behind(tmp_path: Path) -> None:
    # given
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    assert len(_living_in(tmp_path)) > 2

    # when
    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    # then
    deadline = time.monotonic() + 10
    while _living_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _living_in(tmp_path) == []


def _living_in(folder: Path) -> list[int]:
    """Return the processes that work under the folder; both servers move into their data."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    return [pid for pid in _processes() if _home_of(pid).is_relative_to(folder.resolve())]


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _home_of(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return Path("/")
