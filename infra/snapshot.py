"""One snapshot for several queries: they agree with each other during concurrent writes."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def snapshot() -> Iterator[None]:
    """Read one state of the database in all queries of the block, and refuse to write.

    It blocks no writer. Inside a transaction it changes nothing: its isolation is already set.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
    else:
        yield from _deferred()


def _deferred() -> Iterator[None]:
    # Django begins IMMEDIATE, which would keep all writers waiting.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
