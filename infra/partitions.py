"""Monthly partitions of a PostgreSQL table by a UUIDv7, which begins with the time it was made.

A row of a month without a partition is in the DEFAULT partition, so no insert ever fails for want
of one. A statement here waits at most LOCK_TIMEOUT for a lock, as others queue behind it.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, OperationalError, connection, migrations, transaction

log = structlog.get_logger(__name__)

LOCK_TIMEOUT = 200  # milliseconds: others queue behind a lock that is waited for
_SCAN_TIMEOUT = 1000  # milliseconds: a new partition is compared with all rows of DEFAULT
_LOCK_NOT_AVAILABLE = "55P03"


class CreatePartitioned(migrations.CreateModel):
    """Creates a table that on PostgreSQL is partitioned by ranges of a column."""

    def __init__(self, *args: Any, partition_by: str, **named: Any) -> None:
        self.partition_by = partition_by
        super().__init__(*args, **named)

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Create the table, on PostgreSQL with its DEFAULT partition."""
        model = to_state.apps.get_model(app_label, self.name)
        if schema_editor.connection.vendor == "postgresql":
            schema_editor.sql_create_table += f" PARTITION BY RANGE ({self.partition_by})"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            vars(schema_editor).pop("sql_create_table", None)
        if schema_editor.connection.vendor == "postgresql" and self.allow_migrate_model(
            schema_editor.connection.alias, model
        ):
            table = model._meta.db_table
            schema_editor.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")


@dataclass(frozen=True, order=True)
class Month:
    """A month (UTC), as a range of UUIDv7."""

    year: int
    month: int

    @classmethod
    def at(cls, time: dt.datetime) -> "Month":
        """Return the month of a time."""
        time = time.astimezone(dt.UTC)
        return cls(time.year, time.month)

    @classmethod
    def of(cls, id: UUID) -> "Month | None":
        """Return the month in which a UUIDv7 was made; None for other ids, as of year 10000."""
        milliseconds = id.int >> 80
        if id.version != 7 or milliseconds >= _milliseconds(dt.datetime(9999, 1, 1, tzinfo=dt.UTC)):
            return None
        return cls.at(_EPOCH + dt.timedelta(milliseconds=milliseconds))

    @property
    def next(self) -> "Month":
        """Return the following month."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def start(self) -> dt.datetime:
        """Return its first moment."""
        return dt.datetime(self.year, self.month, 1, tzinfo=dt.UTC)

    @property
    def first_id(self) -> UUID:
        """Return its least UUIDv7."""
        return UUID(int=_milliseconds(self.start) << 80)

    @property
    def end_id(self) -> UUID:
        """Return the least UUIDv7 after it."""
        return self.next.first_id

    def __str__(self) -> str:
        return f"{self.year}-{self.month:02}"


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _milliseconds(time: dt.datetime) -> int:
    return (time - _EPOCH) // dt.timedelta(milliseconds=1)


def months(table: str) -> dict[Month, str]:
    """Return the partitions of a table by month, as SQL names. SQLite has none."""
    if connection.vendor != "postgresql":
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS, [table])
        return {Month(year, month): name for name, year, month in cursor.fetchall()}


def is_owner(table: str) -> bool:
    """Return whether the database's user may create and drop the table's partitions."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::regclass", [table]
        )
        return bool(cursor.fetchone()[0])


def create(table: str, column: str, wanted: Iterable[Month]) -> None:
    """Create the partitions of these months, except those with rows in DEFAULT, as the owner.

    A failure is logged: the rows go to DEFAULT.
    """
    if not is_owner(table):
        return
    existing = months(table)
    for month in sorted(set(wanted) - set(existing)):
        name, bounds = f"{table}_{month.year}_{month.month:02}", [month.first_id, month.end_id]
        try:
            with short_locks() as cursor:
                cursor.execute(
                    f"SELECT EXISTS (SELECT FROM {table} WHERE {column} >= %s AND {column} < %s)",
                    bounds,
                )
                if cursor.fetchone()[0]:
                    continue
                # PARTITION OF would lock out all writers of the table; ATTACH those of DEFAULT.
                cursor.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING CONSTRAINTS)")
                cursor.execute(f"SET LOCAL statement_timeout TO {_SCAN_TIMEOUT}")
                cursor.execute(
                    f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)",
                    bounds,
                )
                cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
        except DatabaseError as error:
            log.warning("partition not created", table=table, month=str(month), reason=str(error))


def drop_if_empty(table: str, partition: str) -> bool | None:
    """Drop a partition; False if it has rows, None if a lock was not available in time."""
    if _has_rows(partition):
        return False
    try:
        with short_locks() as cursor:
            # Only the first statement waits: all who use the table wait from then on.
            cursor.execute(f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
            for locked in (f"{table}_default", partition):
                cursor.execute(f"LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE NOWAIT")
            if _has_rows(partition):
                return False
            cursor.execute(f"DROP TABLE {partition}")
    except OperationalError as error:
        if not lock_not_available(error):
            raise
        return None
    return True


@contextmanager
def short_locks() -> Iterator[Any]:
    """Give a cursor in a transaction in which a wait for a lock fails after LOCK_TIMEOUT."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout TO {LOCK_TIMEOUT}")
        yield cursor
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")  # this may be a part of another one


def lock_not_available(error: OperationalError) -> bool:
    """Return whether a wait for a lock has ended after LOCK_TIMEOUT."""
    return getattr(error.__cause__, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def _has_rows(partition: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {partition})")
        return bool(cursor.fetchone()[0])


_MONTHS = r"""
SELECT p.oid::regclass::text, split_part(m.text, '_', 1)::int, split_part(m.text, '_', 2)::int
FROM pg_inherits JOIN pg_class p ON p.oid = inhrelid,
     substring(p.relname FROM '\d{4}_\d\d$') AS m (text)
WHERE inhparent = %s::regclass AND m.text IS NOT NULL
ORDER BY 2, 3
"""
