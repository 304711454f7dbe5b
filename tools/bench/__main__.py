"""`python -m tools.bench`: start servers, measure, print the table.

PostgreSQL and Valkey are reached by Unix sockets, a running RabbitMQ at RABBITMQ_URL.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import redis
from kombu import Connection

from tools.bench import cpu
from tools.bench.plan import LONG, QUICK, USUAL, Plan
from tools.bench.report import Row, table
from tools.devserver.servers import NoServers, Postgres, Valkey

ROOT = Path(__file__).resolve().parents[2]
CONTEXTS = Path(__file__).resolve().parent / "contexts"
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"
NAMES = [
    "checkout",
    "requests",
    "relay",
    "end-to-end",
    "latency",
    "snapshot",
    "log",
    "rebuild",
    "embedded",
]
ON_EVERY_BROKER = ("", "relay", "end-to-end", "latency")
LIBRARIES = ("Django", "celery", "kombu", "redis", "psycopg")
SHOWN = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 after all measurements, whether targets are reached or missed."""
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    try:
        rows = [_printed(row) for row in _measured(plan)]
    except NoServers as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"\n{table(rows)}\n\n{cpu.load()}")
    if options.json:
        facts = [asdict(row) | {"verdict": row.verdict} for row in rows]
        Path(options.json).write_text(json.dumps(facts, indent=2) + "\n")
    return 0 if all(row.name for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="a minute; for orientation")
    length.add_argument("--long", action="store_true", help="5 million events, a snapshot of 120 s")
    parser.add_argument("--only", default="", choices=NAMES, help="run one measurement")
    parser.add_argument("--json", default="", metavar="FILE", help="write the rows to a file, too")
    parser.add_argument("--log-rows", type=int, help="events in the log")
    parser.add_argument("--snapshot-seconds", type=float, help="how long a snapshot is held")
    parser.add_argument("--workers", type=int, help="prefork children of a worker")
    parser.add_argument("--repetitions", type=int, help="the median of them is printed")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else LONG if options.long else USUAL
    names = ("log_rows", "snapshot_seconds", "workers", "repetitions")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return replace(plan, only=options.only, **given)


def _printed(row: Row) -> Row:
    """Print the row now: a long run may be interrupted."""
    print(f"{table([row]).splitlines()[2]} {cpu.load()}", file=sys.stderr, flush=True)
    return row


def _measured(plan: Plan) -> Iterator[Row]:
    with TemporaryDirectory(prefix="kabar-bench-") as temporary:
        folder = Path(temporary)
        if plan.only != "embedded":
            yield from _on_servers(plan, folder)
        if plan.wants("embedded"):
            yield from _section(plan, "SQLite", folder)


def _on_servers(plan: Plan, folder: Path) -> Iterator[Row]:
    with Postgres(folder) as postgres, Valkey(folder) as valkey:
        _record_commit_times(postgres)
        _print_settings(plan, postgres, valkey)
        brokers = {"Valkey": valkey.broker_url}
        if plan.only in ON_EVERY_BROKER:
            brokers |= _rabbitmq()
        for on, broker in brokers.items():
            database = postgres.create_database(f"bench_{on.lower()}")
            yield from _section(plan, on, folder, DATABASE_URL=database, BROKER_URL=broker)


def _rabbitmq() -> dict[str, str]:
    url = os.environ.get("RABBITMQ_URL") or RABBITMQ
    if _answers(url):
        return {"RabbitMQ": url}
    print(f"RabbitMQ is not reachable at {url.rpartition('@')[2]}: skipped.", flush=True)
    return {}


def _record_commit_times(postgres: Postgres) -> None:
    """Have the server record the time of each commit: a latency is the time between two."""
    with psycopg.connect(postgres.url, autocommit=True) as link:
        link.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        link.execute("ALTER SYSTEM SET max_wal_size = '4GB'")
    postgres.restart()


def _section(plan: Plan, on: str, folder: Path, **env: str) -> Iterator[Row]:
    """Run a part of the plan; after a failure the next one follows."""
    place = folder / on
    place.mkdir()
    command = [sys.executable, "-m", "tools.bench.section", on, str(place), plan.dump()]
    with subprocess.Popen(
        command, cwd=ROOT, env=_environment(place, env), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Row(**json.loads(line))
    if process.returncode:
        yield from _unmeasured(on, place)


def _unmeasured(on: str, place: Path) -> Iterator[Row]:
    """Print the end of the logs, and yield a row that says `not measured`."""
    for log in sorted(place.glob("*.log")):
        print(f"--- {log.name}\n{log.read_text()[-1500:]}", file=sys.stderr)
    yield Row(name="", what="the rest", on=on, ours="not measured", beside="")


def _environment(place: Path, env: dict[str, str]) -> dict[str, str]:
    unwanted = ("DATABASE_URL", "BROKER_URL", "CACHE_URL", "DJANGO_SETTINGS_MODULE")
    ours = {name: value for name, value in os.environ.items() if name not in unwanted}
    return ours | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "EXTRA_CONTEXTS": "benchshop,benchview",
        "PYTHONPATH": str(CONTEXTS),
        "VAR_DIR": str(place / "var"),
        "LIMITS": "ip=,user=,checkout=",  # one customer sends all requests
        "MOST_OPEN_ORDERS": "1000000000",
        **env,
    }


def _answers(url: str) -> bool:
    try:
        with closing(Connection(url, connect_timeout=2)) as link:
            link.ensure_connection(max_retries=1, interval_start=0)
    except Exception:
        return False
    return True


def _print_settings(plan: Plan, postgres: Postgres, valkey: Valkey) -> None:
    with psycopg.connect(postgres.url) as link:
        database = link.info.parameter_status("server_version")
        shown = [f"{name}={link.execute(f'SHOW {name}').fetchall()[0][0]}" for name in SHOWN]
    with redis.Redis.from_url(valkey.url) as client:
        broker = client.info("server").get("valkey_version", "?")
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    print(f"PostgreSQL {database} ({', '.join(shown)}), Valkey {broker} (appendonly)")
    print(f"Python {platform.python_version()}, {libraries}; {cpu.load()}")
    print(plan, flush=True)


if __name__ == "__main__":
    sys.exit(main())
