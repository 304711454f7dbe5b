"""Keeping the log short: what nobody needs any more goes into files, and can be brought back.

A batch of old events, each with its inbox rows, lies in a file that is safe on the disk before one
transaction takes it out of the log. Killed in between, the next run does it over. Inbox rows come
and go with their event alone, so whatever can be replayed is known as handled. Replays and
rebuilds refuse while a part of what they would read is in a file.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet, Sum
from django.db.models.expressions import RawSQL

from eventbus.conf import conf
from eventbus.errors import CannotArchive, CannotRestore, InArchive, LogBusy
from eventbus.models import (
    Action,
    Archive,
    DeadLetter,
    Discarded,
    Event,
    Inbox,
    Outbox,
    Retry,
    Subscription,
)
from eventbus.operations import archive_files
from eventbus.operations.archive_files import Part, Told, generations
from eventbus.operations.audit_log import record_action
from eventbus.publishing.serialization import rfc3339
from infra import clock, locks
from infra.failpoints import reach

BATCH = 10_000  # events in one file and one transaction: about half a second on two cores
PAGE = 1_000  # events in memory, and in one transaction of a restore
SHOWN = 3  # files named by a refusal

Progress = Callable[[int], object]


def before(days: int) -> dt.datetime:
    """Return the time so many days ago. Raises CannotArchive below one: see `inbox.bygone`."""
    if days < 1:
        raise CannotArchive(reason="only what is at least a day old may go")
    return clock.now() - dt.timedelta(days=days)


def preview(until: dt.datetime) -> dict[str, int]:
    """Count what was recorded before then: what would go, and what somebody still needs."""
    idle = _idle(_old(until))
    events = idle.count()
    return {
        "events": events,
        "inbox rows": Inbox.objects.filter(event_id__in=idle.order_by().values("pk")).count(),
        "still needed": Event.objects.filter(recorded_at__lt=until).count() - events,
    }


def archive(
    until: dt.datetime, folder: Path, actor: str, progress: Progress = lambda n: None
) -> int:
    """Move what was recorded before then, and nobody needs, into files; return how many events.

    Cut off, the same call does the rest; a file without an `Archive` row may be deleted.
    Raises CannotArchive, LogBusy.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {"before": rfc3339(until), "folder": str(folder)}
    with _held(), record_action("archived", actor, chosen=chosen, preview=preview(until)) as action:
        old, gone = _old(until), 0
        idle = _idle(old)
        while part := _write(folder, old, idle):
            reach("retention")
            _drop(part, idle, action)
            old = old.filter(position__gt=part.row.last_position)
            gone += part.row.events
            progress(part.row.events)
    return gone


def recorded(file: Path) -> Archive:
    """Return what is recorded about a file, if it is still as it was. Raises CannotRestore."""
    row = Archive.objects.filter(file=file.name).first()
    if row is None:
        reason = "no archive of that name is recorded here, so nothing of the log is missing by it"
        raise CannotRestore(file=file, reason=reason)
    try:
        found = archive_files.digest(file)
    except OSError as problem:
        raise CannotRestore(file=file, reason=problem.strerror) from problem
    if found != row.sha256:
        raise CannotRestore(file=file, reason="it is damaged: its SHA-256 is another")
    return row


def restore(file: Path, actor: str, progress: Progress = lambda n: None) -> int:
    """Bring a file's events back, known as handled as they were; return how many.

    Cut off, the same call does the rest. The file stays. Raises CannotRestore, LogBusy.
    """
    with _held(), record_action("restored", actor, chosen={"file": str(file)}) as action:
        row = recorded(file)
        kept = archive_files.read(file)
        while page := list(islice(kept, PAGE)):
            _put_back(file, page)
            progress(len(page))
        row.delete()
        action.result = {"events": row.events, "inbox rows": row.inbox_rows}
    return row.events


def must_be_whole(since: dt.datetime | None = None, until: dt.datetime | None = None) -> None:
    """Make sure that the log has all that was recorded in that time. Raises InArchive."""
    ends = {"until__gte": since, "since__lt": until}
    rows = Archive.objects.filter(**{end: time for end, time in ends.items() if time})
    files = [str(Path(row.folder, row.file)) for row in rows.order_by("first_position")]
    if files:
        reached = rows.aggregate(events=Sum("events"), last=Max("until"))
        rest = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        raise InArchive(
            events=reached["events"],
            until=f"{reached['last']:%F %T}",
            files=" ".join(files[:SHOWN]) + rest,
        )


@contextmanager
def whole(since: dt.datetime | None = None, until: dt.datetime | None = None) -> Iterator[None]:
    """Keep the log whole while it is read again. Raises InArchive, LogBusy."""
    with _held(shared=True):
        must_be_whole(since, until)
        yield


@contextmanager
def _held(*, shared: bool = False) -> Iterator[None]:
    file = Path(conf().LOCKFILE).with_name("log.lock")
    with locks.standing("eventbus.log", file, shared=shared) as ours:
        if not ours:
            raise LogBusy
        yield


def _old(until: dt.datetime) -> QuerySet[Event]:
    """Return what was recorded before then, but the last event: SQLite counts positions from it."""
    events = Event.objects.filter(recorded_at__lt=until)
    last, newest = (rows.aggregate(n=Max("position"))["n"] or 0 for rows in (events, Event.objects))
    return events.filter(position__lt=min(last + 1, newest)).order_by("position")


def _idle(events: QuerySet[Event]) -> QuerySet[Event]:
    """Return those nobody needs: in no message, in no trouble, and told to all they concern."""
    for table in (Outbox, Retry, DeadLetter):
        events = events.exclude(Exists(table._default_manager.filter(event_id=OuterRef("pk"))))
    flying = RawSQL(_FLYING[connection.vendor], [])
    return events.exclude(pk__in=flying).exclude(_owed())


# What is in flight is a list in JSON.
_FLYING = {
    "postgresql": "SELECT jsonb_array_elements_text(event_ids)::uuid FROM eventbus_dispatch",
    "sqlite": "SELECT replace(value, '-', '') FROM eventbus_dispatch, json_each(event_ids)",
}


def _owed() -> Q:
    """Return what somebody is owed and has neither handled nor been spared.

    A rebuild that was cut off has begun a generation, and is owed what it has not come to.
    """
    owed, now = Q(pk=None), generations()
    for row in Subscription.objects.filter(until=None):
        here = {"consumer": row.consumer, "event_id": OuterRef("pk")}
        handled = Inbox.objects.filter(**here, generation=now[row.consumer])
        met = Exists(handled.exclude(handled_at=None)) | Exists(Discarded.objects.filter(**here))
        owed |= Q(name=row.event, recorded_at__gte=row.since) & ~Q(met)
    return owed


def _write(folder: Path, old: QuerySet[Event], idle: QuerySet[Event]) -> Part | None:
    """Put a batch into a file; None where nothing is left."""
    pages = _pages(old, idle)
    first = next(pages, None)
    return archive_files.write(folder, chain([first], pages)) if first else None


def _pages(old: QuerySet[Event], idle: QuerySet[Event]) -> Iterator[Told]:
    """Read a batch with its inbox rows.

    Who needs it is asked of few at a time: asked of all, PostgreSQL hashes the whole inbox.
    """
    left = BATCH
    while found := list(old.values_list("position", "pk")[: min(PAGE, left)]):
        page = list(idle.filter(pk__in=[pk for _, pk in found]))
        inbox: dict[UUID, list[Inbox]] = defaultdict(list)
        for row in Inbox.objects.filter(event_id__in=[event.pk for event in page]).order_by("pk"):
            inbox[row.event_id].append(row)
        yield from ((event, inbox[event.pk]) for event in page)
        old, left = old.filter(position__gt=found[-1][0]), left - len(page)


@transaction.atomic
def _drop(part: Part, idle: QuerySet[Event], action: Action) -> None:
    """Take out of the log what is in the file; all of it is still idle, or nothing goes."""
    events, _ = idle.filter(pk__in=part.ids).order_by().delete()
    inbox_rows, _ = Inbox.objects.filter(event_id__in=part.ids).delete()
    if (events, inbox_rows) != (part.row.events, part.row.inbox_rows):
        raise CannotArchive(reason="some of it is needed again; run it once more")
    # A restore that was cut off at its very end leaves the row of just this file.
    Archive.objects.filter(file=part.row.file).delete()
    part.row.save()
    action.result.setdefault("files", []).append(part.row.file)
    action.result["events"] = action.result.get("events", 0) + events
    action.save(update_fields=["result"])


@transaction.atomic
def _put_back(file: Path, page: list[Told]) -> None:
    """Restore some events with their inbox rows; what is there already stays as it is."""
    events = [event for event, _ in page]
    Event.objects.bulk_create(events, ignore_conflicts=True)
    # Another event at the same position is a conflict, too.
    there = Event.objects.filter(pk__in=[event.pk for event in events]).count()
    if there < len(events):
        reason = f"the positions of {len(events) - there} events are taken by others"
        raise CannotRestore(file=file, reason=reason)
    Inbox.objects.bulk_create([row for _, rows in page for row in rows], ignore_conflicts=True)
