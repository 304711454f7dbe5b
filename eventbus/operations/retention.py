"""Retention: moves old events out of the log into archive files, and restores them.

Events with their inbox rows are in synced files before one transaction deletes them from the log: a
whole month if none of it is needed and it is a partition, else a batch. If a run is killed in
between, the next run writes the files again. An event and its inbox
rows are always moved together, so an event in the log is known as handled. Replays and rebuilds
refuse while events that they would read are archived.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, Max, OuterRef, Q, QuerySet, Sum
from django.db.models.expressions import RawSQL

from eventbus.conf import conf
from eventbus.errors import CannotArchive, CannotRestore, InArchive, LogBusy
from eventbus.models import (
    Action,
    Archive,
    DeadLetter,
    DiscardedDeadLetter,
    Event,
    Inbox,
    Outbox,
    Parked,
    Retry,
    Subscription,
)
from eventbus.operations import archive_files, months
from eventbus.operations.archive_files import ArchivedEvent, WrittenFile, generations
from eventbus.operations.audit_log import record_action, step
from eventbus.publishing.serialization import rfc3339
from infra import clock, locks
from infra.failpoints import reach
from infra.partitions import Month
from infra.transactions import atomic

BATCH = 10_000  # events in one file and one transaction: about half a second on two cores
PAGE = 1_000  # events in memory, and in one transaction of a restore
MAX_FILES = 3  # named in an error message

Progress = Callable[[int], object]


def cutoff(days: int) -> dt.datetime:
    """Return the time that many days ago, at least one. Raises CannotArchive."""
    if days < 1:
        raise CannotArchive(reason="only events that are at least a day old can be archived")
    return clock.now() - dt.timedelta(days=days)


def preview(until: dt.datetime) -> dict[str, int]:
    """Count events and inbox rows to archive, and older events that are still needed."""
    unneeded = _unneeded(_old(until))
    events = unneeded.count()
    recorded = Event.objects.filter(recorded_at__lt=until)
    waiting = recorded.filter(months.unended(until)).count()
    return {
        "events": events,
        "inbox rows": Inbox.objects.filter(event_id__in=unneeded.order_by().values("pk")).count(),
        "still needed": recorded.count() - events - waiting,
    } | ({"in a month whose last day is younger": waiting} if waiting else {})


def archive(
    until: dt.datetime, folder: Path, actor: str, progress: Progress = lambda n: None
) -> int:
    """Move events recorded before that time into files, except needed ones; return how many.

    Those of a month that is a partition wait until all of the month is before that time.
    If it is interrupted, the same call archives the rest. A file without an `Archive` row may be
    deleted: its events are still in the log.
    Raises CannotArchive, LogBusy.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    filters = {"before": rfc3339(until), "folder": str(folder)}
    with (
        _locked(),
        record_action(
            Action.Operation.ARCHIVE, actor, selection=filters, preview=preview(until)
        ) as action,
    ):
        months.make_ahead()
        archived = sum(
            _archive_month(month, until, folder, action, progress) for month in months.ended(until)
        )
        months.drop_empty(until)
        old = _old(until)
        unneeded = _unneeded(old)
        while file := _write(folder, old, unneeded):
            reach("retention")
            archive_files.verify(file.row)
            step(action, partial(_delete, file, unneeded, action))
            old = old.filter(position__gt=file.row.last_position)
            archived += file.row.events
            progress(file.row.events)
    return archived


def archive_of(file: Path) -> Archive:
    """Return the archive row of a file, after a check of its SHA-256. Raises CannotRestore."""
    row = Archive.objects.filter(file=file.name).first()
    if row is None:
        reason = "no archive of that name is recorded, so its events are not missing from the log"
        raise CannotRestore(file=file, reason=reason)
    try:
        found = archive_files.digest(file)
    except OSError as error:
        raise CannotRestore(file=file, reason=error.strerror) from error
    if found != row.sha256:
        raise CannotRestore(
            file=file, reason="it is damaged: its SHA-256 differs from the recorded one"
        )
    return row


def restore(file: Path, actor: str, progress: Progress = lambda n: None) -> int:
    """Restore a file's events with their inbox rows; return how many.

    If it is interrupted, the same call restores the rest. The file stays.
    Raises CannotRestore, LogBusy.
    """
    with (
        _locked(),
        record_action(Action.Operation.RESTORE, actor, selection={"file": str(file)}) as action,
    ):
        row = archive_of(file)
        events = archive_files.read(file)
        while page := list(islice(events, PAGE)):
            months.make_for(event.pk for event, _ in page)
            _insert(file, page)
            progress(len(page))
        row.delete()
        action.result = {"events": row.events, "inbox rows": row.inbox_rows}
    return row.events


def require_complete(since: dt.datetime | None = None, until: dt.datetime | None = None) -> None:
    """Check that no event recorded in that time is archived. Raises InArchive."""
    ends = {"until__gte": since, "since__lt": until}
    rows = Archive.objects.filter(**{end: time for end, time in ends.items() if time})
    files = [str(Path(row.folder, row.file)) for row in rows.order_by("first_position")]
    if files:
        missing = rows.aggregate(events=Sum("events"), last=Max("until"))
        rest = f" and {len(files) - MAX_FILES} more" if len(files) > MAX_FILES else ""
        raise InArchive(
            events=missing["events"],
            until=f"{missing['last']:%F %T}",
            files=" ".join(files[:MAX_FILES]) + rest,
        )


@contextmanager
def hold_complete(
    since: dt.datetime | None = None, until: dt.datetime | None = None
) -> Iterator[None]:
    """Lock out archiving while the log is read. Raises InArchive, LogBusy."""
    with _locked(shared=True):
        require_complete(since, until)
        yield


@contextmanager
def _locked(*, shared: bool = False) -> Iterator[None]:
    file = Path(conf().LOCKFILE).with_name("log.lock")
    with locks.session_lock("eventbus.log", file, shared=shared) as acquired:
        if not acquired:
            raise LogBusy
        yield


def _old(until: dt.datetime) -> QuerySet[Event]:
    """Return events recorded before that time, except an unended month's and the newest one."""
    # SQLite numbers new positions from the newest row.
    events = Event.objects.filter(recorded_at__lt=until).exclude(months.unended(until))
    last, newest = (rows.aggregate(n=Max("position"))["n"] or 0 for rows in (events, Event.objects))
    return events.filter(position__lt=min(last + 1, newest)).order_by("position")


def _unneeded(events: QuerySet[Event], marks: Q | None = None) -> QuerySet[Event]:
    """Return the events with no delivery pending, in flight, retrying, dead or outstanding.

    `marks` are the inbox rows of these events, so that other partitions are not even planned.
    """
    for table in (Outbox, Parked, Retry, DeadLetter):
        events = events.exclude(Exists(table._default_manager.filter(event_id=OuterRef("pk"))))
    in_flight = RawSQL(_IN_FLIGHT[connection.vendor], [])
    return events.exclude(pk__in=in_flight).exclude(_outstanding(marks or Q()))


# The event ids of a dispatch are a JSON list.
_IN_FLIGHT = {
    "postgresql": "SELECT jsonb_array_elements_text(event_ids)::uuid FROM eventbus_dispatch",
    "sqlite": "SELECT replace(value, '-', '') FROM eventbus_dispatch, json_each(event_ids)",
}


def _outstanding(marks: Q) -> Q:
    """Match events that a subscribed consumer has neither handled nor had discarded.

    After an interrupted rebuild these include the events that it has not yet read.
    """
    outstanding, current = Q(pk=None), generations()
    for row in Subscription.objects.filter(until=None):
        delivery = {"consumer": row.consumer, "event_id": OuterRef("pk")}
        handled = Inbox.objects.filter(marks, **delivery, generation=current[row.consumer])
        done = Exists(handled.exclude(handled_at=None)) | Exists(
            DiscardedDeadLetter.objects.filter(**delivery)
        )
        outstanding |= Q(name=row.event, recorded_at__gte=row.since) & ~Q(done)
    return outstanding


def _write(folder: Path, old: QuerySet[Event], unneeded: QuerySet[Event]) -> WrittenFile | None:
    """Write the next batch to a file; return None if no event is left."""
    pages = _pages(old, unneeded)
    first = next(pages, None)
    return archive_files.write(folder, chain([first], pages)) if first else None


def _pages(old: QuerySet[Event], unneeded: QuerySet[Event]) -> Iterator[ArchivedEvent]:
    """Yield a batch of events with their inbox rows."""
    left = BATCH
    # The condition is evaluated for one page at a time: for a whole batch, PostgreSQL hashes the
    # whole inbox.
    while found := list(old.values_list("position", "pk")[: min(PAGE, left)]):
        page = list(unneeded.filter(pk__in=[pk for _, pk in found]))
        inbox: dict[UUID, list[Inbox]] = defaultdict(list)
        for row in Inbox.objects.filter(event_id__in=[event.pk for event in page]).order_by("pk"):
            inbox[row.event_id].append(row)
        yield from ((event, inbox[event.pk]) for event in page)
        old, left = old.filter(position__gt=found[-1][0]), left - len(page)


def _archive_month(
    month: Month, until: dt.datetime, folder: Path, action: Action, progress: Progress
) -> int:
    """Move a whole month into files, and return how many events; 0 if one of them is needed."""
    events = Event.objects.filter(months.within(month))
    old = _old(until).filter(months.within(month))
    unneeded, files = _unneeded(old, months.within(month, "event_id")), []
    if _has_needed(events, unneeded):
        return 0
    while file := _write(folder, old, unneeded):
        reach("retention")
        files.append(file.row)
        old = old.filter(position__gt=file.row.last_position)
        progress(file.row.events)
    if not files:
        return 0
    for row in files:
        archive_files.verify(row)
    written = sum(row.events for row in files), sum(row.inbox_rows for row in files)

    def confirm(logged: int, marked: int) -> bool:
        # Marks are only added or deleted, and no subscription begins in the past but by a rebuild,
        # which is locked out: with as many rows each event is still handled.
        if (logged, marked) != written or _has_waiting(events):
            return False
        for row in files:
            _record(row, action)
        return True

    if not months.empty(month, confirm):
        for row in files:  # their events are still in the log; batches have files of their own
            if not Archive.objects.filter(file=row.file).exists():
                Path(row.folder, row.file).unlink()
        return 0
    reach("month-emptied")
    return written[0]


def _has_needed(events: QuerySet[Event], unneeded: QuerySet[Event]) -> bool:
    """Return whether one of the events is not among the unneeded ones."""
    if _has_waiting(events):
        return True
    pages, seen = events.values_list("position", "pk").order_by("position"), 0
    while page := list(pages.filter(position__gt=seen)[:PAGE]):
        if unneeded.filter(pk__in=[pk for _, pk in page]).count() < len(page):
            return True
        seen = page[-1][0]
    return False


def _has_waiting(events: QuerySet[Event]) -> bool:
    """Return whether a delivery of an event is pending, in flight, retrying or dead."""
    return any(events.filter(pk__in=ids).exists() for ids in _waiting())


def _waiting() -> list[Any]:
    tables = (Outbox, Retry, DeadLetter)
    return [
        RawSQL(_IN_FLIGHT[connection.vendor], []),
        *(table._default_manager.values("event_id") for table in tables),
    ]


def _delete(file: WrittenFile, unneeded: QuerySet[Event], action: Action) -> None:
    """Delete the file's events from the log, if all of them are still unneeded."""
    events, _ = unneeded.filter(pk__in=file.ids).order_by().delete()
    inbox_rows, _ = Inbox.objects.filter(event_id__in=file.ids).delete()
    if (events, inbox_rows) != (file.row.events, file.row.inbox_rows):
        raise CannotArchive(reason="some of the events are needed again; run the command again")
    _record(file.row, action)


def _record(row: Archive, action: Action) -> None:
    # A restore that was interrupted before its last statement leaves the row of this very file.
    Archive.objects.filter(file=row.file).delete()
    row.save()
    action.result.setdefault("files", []).append(row.file)
    action.result["events"] = action.result.get("events", 0) + row.events
    action.save(update_fields=["result"])


@atomic
def _insert(file: Path, page: list[ArchivedEvent]) -> None:
    """Insert events with their inbox rows; existing rows stay as they are."""
    events = [event for event, _ in page]
    at_position = Event.objects.filter(position__in=[event.position for event in events])
    taken = at_position.exclude(pk__in=[event.pk for event in events]).count()
    if taken:
        reason = f"the positions of {taken} events are taken by others"
        raise CannotRestore(file=file, reason=reason)
    Event.objects.bulk_create(events, ignore_conflicts=True)
    Inbox.objects.bulk_create([row for _, rows in page for row in rows], ignore_conflicts=True)
