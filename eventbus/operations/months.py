"""Months of the log and the inbox: partitions on PostgreSQL, made ahead and emptied together.

An id is made when the event is published, so a month of ids holds its events, and a month of the
inbox their rows. Emptying both is one transaction, and takes as long for one row as for millions.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable
from uuid import UUID

from django.db import OperationalError, connection
from django.db.models import Q

from eventbus.errors import CannotArchive
from eventbus.models import Event, Inbox
from infra import partitions
from infra.partitions import Month

AHEAD = 3  # months made in advance: so long may neither `migrate` nor `archiveevents` run
ATTEMPTS = 60  # to lock a month, which a long transaction may be reading
DROP_ATTEMPTS = 5
PAUSE = 0.5  # seconds between two attempts
_TABLES = {Event._meta.db_table: "id", Inbox._meta.db_table: "event_id"}
_LOG, _INBOX = _TABLES


def make_ahead() -> None:
    """Create the partitions of this month and the coming ones."""
    wanted = [Month.at(dt.datetime.now(dt.UTC))]
    for _ in range(AHEAD):
        wanted.append(wanted[-1].next)
    _create(wanted)


def make_for(events: Iterable[UUID]) -> None:
    """Create the partitions of events that are restored."""
    now = Month.at(dt.datetime.now(dt.UTC))
    found = {Month.of(event) for event in events}
    _create(month for month in found if month and month <= now)


def missing() -> list[str]:
    """Return a sentence for each table without a partition of the next month."""
    if connection.vendor != "postgresql":
        return []
    coming = Month.at(dt.datetime.now(dt.UTC)).next
    return [
        f"{table} has no partition for {coming}: run manage.py migrate or archiveevents"
        for table in _TABLES
        if coming not in partitions.months(table)
    ]


def ended(until: dt.datetime) -> list[Month]:
    """Return the months before that time that can be emptied: partitions of both tables."""
    log, inbox = map(_own, _TABLES)
    return [month for month in log if month in inbox and month.next.start <= until]


def unended(until: dt.datetime) -> Q:
    """Match the events of the month of that time, if it can be emptied when it has ended."""
    month = Month.at(until)
    return within(month) if month in _own(_LOG) else Q(pk__in=[])


def within(month: Month, column: str = "id") -> Q:
    """Match the ids of a month."""
    return Q((f"{column}__gte", month.first_id), (f"{column}__lt", month.end_id))


def empty(month: Month, confirm: Callable[[int, int], bool]) -> bool:
    """Delete all events and inbox rows of a month, if `confirm` agrees to their numbers.

    Readers wait until its transaction ends, as do deliveries of events of that month.
    Raises CannotArchive if no lock was available in ATTEMPTS.
    """
    log, inbox = (partitions.months(table)[month] for table in _TABLES)
    for _ in range(ATTEMPTS):
        try:
            with partitions.short_locks() as cursor:
                for partition in (log, inbox):  # for the count; readers do not wait for it
                    cursor.execute(f"LOCK TABLE {partition} IN SHARE ROW EXCLUSIVE MODE")
                cursor.execute(
                    f"SELECT (SELECT count(*) FROM {log}), (SELECT count(*) FROM {inbox})"
                )
                if not confirm(*cursor.fetchone()):
                    return False
                cursor.execute(f"TRUNCATE {log}, {inbox}")
                return True
        except OperationalError as error:
            if not partitions.lock_not_available(error):
                raise
        time.sleep(PAUSE)
    raise CannotArchive(
        reason=f"a long transaction uses the events of {month}; run the command again"
    )


def drop_empty(until: dt.datetime) -> None:
    """Drop empty partitions before that time; one that stays in use is left to the next run."""
    for table in _TABLES:
        old = [name for month, name in _own(table).items() if month.next.start <= until]
        for partition in old:
            for _ in range(DROP_ATTEMPTS):
                if partitions.drop_if_empty(table, partition) is not None:
                    break
                time.sleep(PAUSE)


def _own(table: str) -> dict[Month, str]:
    return partitions.months(table) if partitions.is_owner(table) else {}


def _create(wanted: Iterable[Month]) -> None:
    wanted = list(wanted)
    for table, column in _TABLES.items():
        partitions.create(table, column, wanted)
