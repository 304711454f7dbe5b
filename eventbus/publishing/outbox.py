"""The outbox: a change and its events are committed together, or neither is."""

import datetime as dt
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import JSONField

from eventbus.errors import NotInTransaction
from eventbus.events import Event, name_of
from eventbus.models import Event as Log
from eventbus.models import Outbox, Scheduled
from eventbus.origin import origin, trace_headers
from eventbus.publishing import wakeup
from eventbus.publishing.serialization import payload_of
from infra import clock
from infra.failpoints import reach
from infra.ids import new_id


def publish(
    event: Event,
    *,
    due: dt.timedelta | dt.datetime | None = None,
    version: int | None = None,
    answering: UUID | None = None,
) -> UUID:
    """Write an event in the transaction of its change, and return its id.

    due: publish it then and not before (a time, or a delay by the database's clock). Such a
        scheduled event survives restarts.
    answering: the id of the event that this one answers, if it is not the one being handled.
    version: the version of the aggregate's row after this change.

    An answer to this event carries the returned id as its `causation`.
    Raises NotInTransaction, BadPayload.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction(name=name_of(type(event)))
    current, (traceparent, tracestate) = origin(), trace_headers()
    id = new_id()
    fact: dict[str, Any] = {
        "id": id,
        "name": name_of(type(event)),
        "aggregate": event.aggregate,
        "aggregate_version": version,
        "payload": payload_of(event),
        "correlation": current.correlation,
        "causation": answering or current.causation,
        "traceparent": traceparent,
        "tracestate": tracestate,
        "actor": current.actor,
    }
    if due is None:
        record([fact])
        reach("outbox-written")
        transaction.on_commit(_notify)
    else:
        due_at = due if isinstance(due, dt.datetime) else clock.now() + due
        Scheduled.objects.create(**fact, due_at=due_at)
    return id


def _notify() -> None:
    reach("committed-not-notified")
    wakeup.wake_relays()


_COLUMNS = [f.attname for f in Scheduled._meta.concrete_fields if f.column != "due_at"]
_FIELDS = [Log._meta.get_field(c) for c in _COLUMNS]
_LOG, _OUTBOX = Log._meta.db_table, Outbox._meta.db_table


def record(facts: list[dict[str, Any]]) -> None:
    """Insert facts into the log and the outbox: one statement on PostgreSQL."""
    row = f"({', '.join(['%s'] * len(_COLUMNS))})"
    values = [_prepared(field, fact[field.name]) for fact in facts for field in _FIELDS]
    columns, rows = ", ".join(_COLUMNS), ", ".join([row] * len(facts))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"WITH fact AS (INSERT INTO {_LOG} ({columns}) VALUES {rows} RETURNING id)"
                f" INSERT INTO {_OUTBOX} (event_id) SELECT id FROM fact",
                values,
            )
            return
        # SQLite has one writer, so the next position is the highest plus one.
        for fact in facts:
            cursor.execute(
                f"INSERT INTO {_LOG} ({columns}, position) VALUES"
                f" ({row[1:-1]}, (SELECT coalesce(max(position), 0) + 1 FROM {_LOG}))",
                [_prepared(field, fact[field.name]) for field in _FIELDS],
            )
            cursor.execute(
                f"INSERT INTO {_OUTBOX} (event_id) VALUES (%s)", [_prepared(_FIELDS[0], fact["id"])]
            )


def _prepared(field: Any, value: Any) -> Any:
    if isinstance(field, JSONField):
        return field.get_db_prep_save(value, connection)
    return field.get_db_prep_value(value, connection)
