"""Taking rows out of the outbox together with the events they stand for: one statement."""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from eventbus.cloudevents import to_cloudevent
from eventbus.events import Envelope


@dataclass(frozen=True, slots=True)
class Claimed:
    """An event that is to be dispatched, and how it travels."""

    id: UUID
    name: str
    recorded_at: dt.datetime
    wire: dict[str, Any]


def take(floor: int, limit: int) -> list[Claimed]:
    """Take up to so many rows, the oldest first, that no other relay has; in a transaction."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_TAKE, [floor, limit])
            return [_claimed(row[1:]) for row in cursor.fetchall()]
        # SQLite has one writer: between the two statements nobody else comes.
        cursor.execute(_LOOK, [floor, limit])
        rows = cursor.fetchall()
        if rows:
            cursor.execute(
                "DELETE FROM eventbus_outbox WHERE id BETWEEN %s AND %s", [rows[0][0], rows[-1][0]]
            )
        return [_claimed(row[1:]) for row in rows]


def find(ids: list[UUID]) -> dict[UUID, dict[str, Any]]:
    """Return events of the log as they travel, by id."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"SELECT {_EVENT} FROM eventbus_event e WHERE id = ANY(%s)", [ids])
        else:
            marks = ", ".join(["%s"] * len(ids))
            cursor.execute(
                f"SELECT {_EVENT} FROM eventbus_event e WHERE id IN ({marks})",
                [id.hex for id in ids],
            )
        found = map(_claimed, cursor.fetchall())
        return {event.id: event.wire for event in found}


def _claimed(row: tuple[Any, ...]) -> Claimed:
    id, name, payload, at, correlation, causation, *rest = row
    recorded_at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)  # SQLite knows no zones
    envelope = Envelope(
        id=_uuid(id),
        name=name,
        payload=msgspec.json.decode(payload),
        recorded_at=recorded_at,
        correlation=_uuid(correlation),
        causation=_uuid(causation) if causation else None,
        aggregate=rest[0],
        aggregate_version=rest[1],
        traceparent=rest[2],
        tracestate=rest[3],
        actor=rest[4],
    )
    return Claimed(envelope.id, name, recorded_at, to_cloudevent(envelope))


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


_EVENT = (
    "e.id, e.name, e.payload, e.recorded_at, e.correlation, e.causation, e.aggregate,"
    " e.aggregate_version, e.traceparent, e.tracestate, e.actor"
)
_TAKE = f"""
WITH due AS (SELECT id FROM eventbus_outbox WHERE id >= %s
             ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED),
     gone AS (DELETE FROM eventbus_outbox o USING due WHERE o.id = due.id
              RETURNING o.id, o.event_id)
SELECT gone.id, {_EVENT} FROM gone JOIN eventbus_event e ON e.id = gone.event_id ORDER BY gone.id
"""
_LOOK = f"""
SELECT o.id, {_EVENT} FROM eventbus_outbox o JOIN eventbus_event e ON e.id = o.event_id
WHERE o.id >= %s ORDER BY o.id LIMIT %s
"""
