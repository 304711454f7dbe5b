"""Named locks: PostgreSQL's advisory locks, most until the transaction ends.

Batches that lock the same rows in different orders deadlock: they reached 419 events/s; sorted,
under one lock, 15,000. SQLite has one writer, so its transactions run one after another anyway.
"""

import fcntl
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from django.db import Error, connection

from infra import postgres


def acquire(names: Iterable[str]) -> None:
    """Wait for the locks of these names, in one order, and hold them until the transaction ends."""
    _run("SELECT count(pg_advisory_xact_lock(n)) FROM unnest(%s::bigint[]) n", _numbers(names))


def try_acquire(name: str) -> bool:
    """Take the lock of this name until the transaction ends; False if it is held elsewhere."""
    if connection.vendor != "postgresql":
        return True
    with postgres.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_number(name)])
        return bool(cursor.fetchone()[0])


def acquire_for_delivery(consumer: str, names: Iterable[str]) -> None:
    """Acquire the locks of a delivery; waits while `exclude_deliveries` is in force."""
    _run(
        "SELECT pg_advisory_xact_lock_shared(%s),"
        " (SELECT count(pg_advisory_xact_lock(n)) FROM unnest(%s::bigint[]) n)",
        _number(f"at work/{consumer}"),
        _numbers(names),
    )


def exclude_deliveries(consumer: str) -> None:
    """Wait for the consumer's running deliveries, and let none begin until the commit."""
    _run("SELECT pg_advisory_xact_lock(%s)", _number(f"at work/{consumer}"))


@contextmanager
def session_lock(name: str, file: Path, *, shared: bool = False) -> Iterator[bool]:
    """Try for a lock that outlives transactions; gives whether it was acquired.

    It ends with the block, or with the process: on PostgreSQL with its connection, on SQLite with
    the open file.
    """
    if connection.vendor != "postgresql":
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as opened:
            try:
                yield _flock(opened, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            finally:
                # Closing is not enough: a child process that is being started has the file, too.
                fcntl.flock(opened, fcntl.LOCK_UN)
        return
    suffix, number = "_shared" if shared else "", _number(name)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock{suffix}(%s)", [number])
        (acquired,) = cursor.fetchone()
    try:
        yield acquired
    finally:
        if acquired:
            # A broken connection has released the lock already.
            with suppress(Error):
                _run(f"SELECT pg_advisory_unlock{suffix}(%s)", number)


def _flock(file: IO[str], operation: int) -> bool:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run(statement: str, *values: Any) -> None:
    if connection.vendor == "postgresql":
        with postgres.cursor() as cursor:
            cursor.execute(statement, values)


def _numbers(names: Iterable[str]) -> list[int]:
    return sorted({_number(name) for name in names})


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
