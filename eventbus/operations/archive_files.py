"""Archive files: events with their inbox rows, as gzipped JSON Lines.

The first line holds the generation of each consumer. Each other line holds an event as CloudEvents
1.0 JSON, its position, and its inbox rows.
"""

import datetime as dt
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Max

from eventbus.cloudevents import from_cloudevent, to_cloudevent
from eventbus.errors import CannotArchive
from eventbus.models import Archive, Event, Inbox, Subscription
from eventbus.publishing.serialization import rfc3339

ArchivedEvent = tuple[Event, list[Inbox]]


@dataclass(frozen=True)
class WrittenFile:
    """An archive file, with the ids of its events."""

    row: Archive
    ids: list[UUID]


def write(folder: Path, events: Iterable[ArchivedEvent]) -> WrittenFile:
    """Write and sync a file that only its owner can read. Raises OSError."""
    unfinished = folder / ".unfinished"
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    written = _fill(unfinished, events)
    row = written.row
    row.folder, row.sha256 = str(folder), digest(unfinished)
    # The name includes the digest: a second run never replaces a file with another content.
    positions = f"{row.first_position:012}-{row.last_position:012}"
    row.file = f"events-{positions}-{row.sha256[:12]}.jsonl.gz"
    unfinished.rename(folder / row.file)
    _sync(folder)
    return written


def read(file: Path) -> Iterator[ArchivedEvent]:
    """Yield the events of a file, with inbox rows as they would be today. Raises OSError."""
    with gzip.open(file, "rb") as lines:
        mapping = _InboxMapping(msgspec.json.decode(next(lines))["generations"])
        for line in map(msgspec.json.decode, lines):
            event = _event(line)
            yield event, [mapping.row(event.pk, row) for row in line["inbox"]]


def verify(row: Archive) -> None:
    """Read a written file back, before its events are deleted. Raises CannotArchive."""
    file = Path(row.folder, row.file)
    try:
        with gzip.open(file, "rb") as lines:  # compares the content with the CRC of the written one
            events = sum(1 for _ in lines) - 1
        intact = (events, digest(file)) == (row.events, row.sha256)
    except (OSError, EOFError, zlib.error):
        intact = False
    if not intact:
        raise CannotArchive(reason=f"{file} is not as it was written; check the disk")


def digest(file: Path) -> str:
    """Return a file's SHA-256. Raises OSError."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def generations() -> dict[str, int]:
    """Return the current inbox generation of each consumer."""
    rows = Subscription.objects.values("consumer").annotate(now=Max("generation"))
    return {row["consumer"]: row["now"] for row in rows}


def _fill(path: Path, events: Iterable[ArchivedEvent]) -> WrittenFile:
    kept, inbox_rows = [], 0
    with path.open("wb") as file:
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as lines:
            _write_line(lines, {"generations": generations()})
            for event, inbox in events:
                _write_line(lines, _as_json(event, inbox))
                kept.append((event.position, event.recorded_at, event.pk))
                inbox_rows += len(inbox)
        os.fsync(file.fileno())
    positions, times, ids = zip(*kept, strict=True)
    row = Archive(
        events=len(ids),
        inbox_rows=inbox_rows,
        first_position=positions[0],
        last_position=positions[-1],
        since=min(times),
        until=max(times),
    )
    return WrittenFile(row, list(ids))


@dataclass(frozen=True)
class _InboxMapping:
    """Maps the generations of archived inbox rows to those of today.

    A replay moves the inbox rows of its consumer to a new generation, except archived ones.
    """

    then: dict[str, int]
    now: dict[str, int] = field(default_factory=generations)

    def row(self, event: UUID, archived: dict[str, Any]) -> Inbox:
        """Return the inbox row for an archived one."""
        consumer = archived["consumer"]
        current = archived["generation"] == self.then.get(consumer)
        return Inbox(
            consumer=consumer,
            generation=self.now.get(consumer, 0) if current else archived["generation"],
            event_id=event,
            handled_at=_time(archived["handled_at"]),
            lease_until=_time(archived["lease_until"]),
        )


def _as_json(event: Event, inbox: list[Inbox]) -> dict[str, Any]:
    rows = [
        {
            "consumer": row.consumer,
            "generation": row.generation,
            "handled_at": row.handled_at and rfc3339(row.handled_at),
            "lease_until": row.lease_until and rfc3339(row.lease_until),
        }
        for row in inbox
    ]
    return {"position": event.position, "event": to_cloudevent(event.envelope()), "inbox": rows}


def _event(line: dict[str, Any]) -> Event:
    envelope = from_cloudevent(line["event"])
    # The mark "replayed" belongs to a delivery, not to the event.
    names = [field.name for field in fields(envelope) if field.name != "replayed"]
    columns = {name: getattr(envelope, name) for name in names}
    return Event(position=line["position"], **columns)


def _time(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None


def _write_line(lines: gzip.GzipFile, value: dict[str, Any]) -> None:
    lines.write(msgspec.json.encode(value) + b"\n")


def _sync(folder: Path) -> None:
    """Sync the folder, so that the file's name survives a power failure."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
