"""A part of the log as a file: gzip, JSON Lines.

The first line holds the inbox's generations; each other line an event as CloudEvents 1.0 JSON, its
position, and its inbox rows.
"""

import datetime as dt
import gzip
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Max

from eventbus import registry
from eventbus.cloudevents import from_cloudevent, to_cloudevent
from eventbus.models import Archive, Event, Inbox, Subscription
from eventbus.publishing.serialization import rfc3339

Told = tuple[Event, list[Inbox]]


@dataclass(frozen=True)
class Part:
    """A file that was written, and what is in it."""

    row: Archive
    ids: list[UUID]


def write(folder: Path, kept: Iterable[Told]) -> Part:
    """Write a file, on the disk for good, for its owner alone. Raises OSError."""
    unfinished = folder / ".unfinished"
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    part = _fill(unfinished, kept)
    part.row.folder, part.row.sha256 = str(folder), digest(unfinished)
    # Its name says what is in it: doing it over never puts something else in its place.
    ends = f"{part.row.first_position:012}-{part.row.last_position:012}"
    part.row.file = f"events-{ends}-{part.row.sha256[:12]}.jsonl.gz"
    unfinished.rename(folder / part.row.file)
    _sync(folder)
    return part


def read(file: Path) -> Iterator[Told]:
    """Return what is in a file, as it would be now. Raises OSError."""
    with gzip.open(file, "rb") as lines:
        memory = _Memory(msgspec.json.decode(next(lines))["generations"])
        for line in map(msgspec.json.decode, lines):
            event = _event(line)
            yield event, [memory.row(event.pk, row) for row in line["inbox"]]


def digest(file: Path) -> str:
    """Return a file's SHA-256. Raises OSError."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def generations() -> dict[str, int]:
    """Return under which generation each consumer handles now."""
    rows = Subscription.objects.values("consumer").annotate(now=Max("generation"))
    return {row["consumer"]: row["now"] for row in rows}


def _fill(path: Path, told: Iterable[Told]) -> Part:
    kept, inbox_rows = [], 0
    with path.open("wb") as file:
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as lines:
            _put(lines, {"generations": generations()})
            for event, inbox in told:
                _put(lines, _told(event, inbox))
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
    return Part(row, list(ids))


def _renamed() -> dict[str, str]:
    return {c.renamed_from: c.name for c in registry.consumers.values() if c.renamed_from}


@dataclass(frozen=True)
class _Memory:
    """Under which name and generation inbox rows come back: those under which they would be now.

    A replay moves what its consumer has handled into a new generation, but for what is in files.
    """

    then: dict[str, int]
    now: dict[str, int] = field(default_factory=generations)
    names: dict[str, str] = field(default_factory=_renamed)

    def row(self, event: UUID, told: dict[str, Any]) -> Inbox:
        """Return an inbox row as it was told in a file."""
        consumer = self.names.get(told["consumer"], told["consumer"])
        present = told["generation"] == self.then.get(told["consumer"])
        return Inbox(
            consumer=consumer,
            generation=self.now.get(consumer, 0) if present else told["generation"],
            event_id=event,
            handled_at=_time(told["handled_at"]),
            lease_until=_time(told["lease_until"]),
        )


def _told(event: Event, inbox: list[Inbox]) -> dict[str, Any]:
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
    kept = [part.name for part in fields(envelope) if part.name != "replayed"]  # how it travels
    told = {name: getattr(envelope, name) for name in kept}
    return Event(position=line["position"], **told)


def _time(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None


def _put(lines: gzip.GzipFile, value: dict[str, Any]) -> None:
    lines.write(msgspec.json.encode(value) + b"\n")


def _sync(folder: Path) -> None:
    """Have the folder's names on the disk, too."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
