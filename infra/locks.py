"""Who takes turns: PostgreSQL's advisory locks, most for the length of a transaction.

Batches that touch the same rows in another order deadlock: 419 events/s where sorted ones under
one lock make 15,000. SQLite has one writer, so everybody takes turns already.
"""

import fcntl
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from django.db import Error, connection

from infra import postgres


def hold(names: Iterable[str]) -> None:
    """Take the locks of these names in one order, until the transaction ends."""
    _run("SELECT count(pg_advisory_xact_lock(n)) FROM unnest(%s::bigint[]) n", _numbers(names))


def try_hold(name: str) -> bool:
    """Take the lock of this name until the transaction ends, unless somebody else has it."""
    if connection.vendor != "postgresql":
        return True
    with postgres.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_number(name)])
        return bool(cursor.fetchone()[0])


def hold_as(consumer: str, names: Iterable[str]) -> None:
    """Take locks as a consumer at work, which `hold_alone` waits for and keeps out."""
    _run(
        "SELECT pg_advisory_xact_lock_shared(%s),"
        " (SELECT count(pg_advisory_xact_lock(n)) FROM unnest(%s::bigint[]) n)",
        _number(f"at work/{consumer}"),
        _numbers(names),
    )


def hold_alone(consumer: str) -> None:
    """Wait until no delivery to the consumer runs, and let none begin until the commit."""
    _run("SELECT pg_advisory_xact_lock(%s)", _number(f"at work/{consumer}"))


@contextmanager
def standing(name: str, file: Path, *, shared: bool = False) -> Iterator[bool]:
    """Try for a lock that outlives transactions, and say whether it is ours; it ends with us.

    It is the connection's; with SQLite it is the file's.
    """
    if connection.vendor != "postgresql":
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as held:
            yield _flock(held, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        return
    kind, number = "_shared" if shared else "", _number(name)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock{kind}(%s)", [number])
        (ours,) = cursor.fetchone()
    try:
        yield ours
    finally:
        if ours:
            # Where the connection is broken the lock went with it.
            with suppress(Error):
                _run(f"SELECT pg_advisory_unlock{kind}(%s)", number)


def _flock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
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
