"""Order within a stream, the events of one aggregate, for consumers with `order=`.

The log answers which event comes before another: a service publishes while it holds the row of its
aggregate, so an earlier event is committed before a later one. A delivery holds the lock of its
stream until it commits (`registry.Consumer.keys`), so that an event cannot begin to wait while the
event that it waits for is being recorded as handled.
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

import structlog
from django.db import connection

from eventbus.conf import conf
from eventbus.consuming import inbox
from eventbus.errors import LaterEventsArchived, NotParked
from eventbus.events import Envelope
from eventbus.models import Archive, Dispatch, Event, Parked, Retry
from eventbus.registry import Consumer, stream
from infra import clock, locks, postgres
from infra.transactions import atomic

log = structlog.get_logger(__name__)


def admit(consumer: Consumer, envelopes: Sequence[Envelope], keys: Iterable[str]) -> list[Envelope]:
    """Acquire the keys; return the events whose turn it is, in the order of the log; park the rest.

    An event waits while an earlier one of its aggregate is owed to the consumer, and is neither
    handled, nor discarded, nor skipped by an operator, nor before it in this message. Events that
    have no aggregate or are not in the log do not wait.
    """
    by_id = {envelope.id: envelope for envelope in envelopes}
    values = {"consumer": consumer.name, "ids": inbox.array(list(by_id))}
    with postgres.cursor() as cursor:
        with postgres.pipeline():
            locks.acquire_for_delivery(consumer.name, keys)
            # A statement of its own, so it sees what was committed before the locks were acquired.
            cursor.execute(_TURNS[connection.vendor], values)
        rows = [(_uuid(id), position, waits) for id, position, waits in cursor.fetchall()]
    turn = [envelope for envelope in envelopes if envelope.id not in {id for id, *_ in rows}]
    early: list[Parked] = []
    blocked: set[str] = set()
    for id, position, waits in rows:
        envelope = by_id[id]
        if waits is None or not (waits or envelope.aggregate in blocked):
            turn.append(envelope)
            continue
        blocked.add(envelope.aggregate)
        early.append(_parked(consumer.name, envelope, position))
    _park(early)
    return turn


def _parked(consumer: str, envelope: Envelope, position: int) -> Parked:
    return Parked(
        consumer=consumer,
        event_id=envelope.id,
        aggregate=envelope.aggregate,
        position=position,
        replayed=envelope.replayed,
        parked_at=clock.now(),
    )


def _park(rows: Sequence[Parked]) -> None:
    if not rows:
        return
    # One that was dispatched too early keeps its row, and waits again.
    Parked.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["consumer", "event_id"],
        update_fields=["dispatched_at"],
    )
    # It did not fail: what was recorded of it before this delivery stands until the next one.
    failed = Retry.objects.filter(
        consumer=rows[0].consumer, event_id__in=[row.event_id for row in rows]
    )
    failed.filter(attempts=0).delete()
    failed.update(next_at=None, deliveries=0)
    log.info("parked until earlier events are handled", consumer=rows[0].consumer, events=len(rows))


def settle(consumer: str, handled: Sequence[Envelope]) -> None:
    """Delete the parked rows of handled events, and wake the events that waited for them."""
    aggregates = {envelope.aggregate for envelope in handled} - {""}
    rows = Parked.objects.filter(consumer=consumer, aggregate__in=aggregates)
    if not aggregates or not rows.exists():
        return
    rows.filter(event_id__in=[envelope.id for envelope in handled]).delete()
    wake(consumer, aggregates)


def wake(consumer: str, aggregates: Collection[str] | None = None) -> int:
    """Dispatch the parked events for which no earlier one is missing; return their number.

    Of each aggregate the first BATCH_SIZE: the next ones follow when these are handled.
    """
    values = {
        "consumer": consumer,
        "all": aggregates is None,
        "aggregates": _array(sorted(aggregates or ())),
        "size": conf().BATCH_SIZE,
    }
    with postgres.cursor() as cursor:
        cursor.execute(_READY[connection.vendor], values)
        ids = [id for (id,) in cursor.fetchall()]
    # Rows that another relay or delivery wakes at the moment are left to it.
    rows = Parked.objects.filter(pk__in=ids, dispatched_at=None).order_by("replayed", "position")
    ready = list(rows.select_for_update(skip_locked=True))
    dispatch(ready)
    return len(ready)


def dispatch(rows: Sequence[Parked]) -> None:
    """Dispatch parked rows of one consumer, sorted by `replayed`; each keeps its row meanwhile."""
    size = conf().BATCH_SIZE
    dispatches = []
    for replayed, group in groupby(rows, key=lambda row: row.replayed):
        found = list(group)
        for start in range(0, len(found), size):
            ids = [str(row.event_id) for row in found[start : start + size]]
            dispatches.append(Dispatch(consumer=rows[0].consumer, event_ids=ids, replayed=replayed))
    Dispatch.objects.bulk_create(dispatches)
    Parked.objects.filter(pk__in=[row.pk for row in rows]).update(dispatched_at=clock.now())


def wake_all() -> None:
    """Wake the parked events of all consumers, after an operator's act or a change of code.

    A discarded dead letter, an ended subscription, or a consumer that is not ordered any more has
    no delivery that would wake the events behind it. Each consumer has its own transaction.
    """
    for consumer in set(Parked.objects.values_list("consumer", flat=True)):
        _wake_consumer(consumer)


@atomic
def _wake_consumer(consumer: str) -> None:
    with postgres.cursor() as cursor:
        cursor.execute(_SETTLED, {"consumer": consumer})
        settled = [id for (id,) in cursor.fetchall()]
    Parked.objects.filter(pk__in=settled).delete()
    wake(consumer)


def skip(consumer: str, aggregate: str) -> UUID:
    """Let a stream go on without the event that it waits for; return that. Raises NotParked.

    If that event is handled later, it is handled out of order. Called in a transaction.
    """
    locks.acquire_for_delivery(consumer, [stream(consumer, aggregate)])
    event = missing(consumer, aggregate)
    waiting = Parked.objects.filter(consumer=consumer, aggregate=aggregate, dispatched_at=None)
    if event is None or not waiting.exists():
        raise NotParked(consumer=consumer, aggregate=aggregate)
    logged = Event.objects.get(pk=event)
    row = _parked(consumer, logged.envelope(), logged.position)
    row.skipped, row.dispatched_at = True, row.parked_at
    Parked.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["consumer", "event_id"],
        update_fields=["skipped"],
    )
    wake(consumer, {aggregate})
    return event


def missing(consumer: str, aggregate: str) -> UUID | None:
    """Return the event for which the parked events of a stream wait."""
    with postgres.cursor() as cursor:
        cursor.execute(_MISSING, {"consumer": consumer, "aggregate": aggregate})
        row = cursor.fetchone()
    return _uuid(row[0]) if row else None


def without_superseded(consumer: Consumer, fresh: Sequence[Envelope]) -> list[Envelope]:
    """Return the events of which no later one of their aggregate is handled, also in this message.

    Raises LaterEventsArchived for an event of which that is unknown.
    """
    recent = dt.datetime.now(dt.UTC) - inbox.NEVER_ARCHIVED
    for envelope in fresh:
        if envelope.aggregate and envelope.recorded_at < recent:
            later = Archive.objects.filter(until__gte=envelope.recorded_at).order_by("until")
            if archive := later.first():
                raise LaterEventsArchived(event=envelope.id, file=archive.file)
    values = {
        "consumer": consumer.name,
        "ids": inbox.array([envelope.id for envelope in fresh]),
        "names": _array(consumer.events),
    }
    with postgres.cursor() as cursor:
        cursor.execute(_SUPERSEDED[connection.vendor], values)
        superseded = {_uuid(id) for (id,) in cursor.fetchall()}
    return [envelope for envelope in fresh if envelope.id not in superseded]


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _array(texts: Sequence[str]) -> Any:
    return list(texts) if connection.vendor == "postgresql" else json.dumps(list(texts))


# Values come as one array; SQLite has JSON instead of arrays.
_IDS = {
    "postgresql": "unnest(%(ids)s::uuid[]) wanted(id)",
    "sqlite": "(SELECT value AS id FROM json_each(%(ids)s)) wanted",
}
_IN = {
    "postgresql": "= ANY(%({})s::text[])",
    "sqlite": "IN (SELECT value FROM json_each(%({})s))",
}
_INBOX = """
EXISTS (SELECT 1 FROM eventbus_inbox i WHERE i.consumer = %(consumer)s AND i.event_id = {}
        AND i.generation = (SELECT coalesce(max(generation), 0) FROM eventbus_subscription
                            WHERE consumer = %(consumer)s)
        AND i.handled_at IS NOT NULL)
"""
_DISCARDED = """
EXISTS (SELECT 1 FROM eventbus_discarded_dead_letter d
        WHERE d.consumer = %(consumer)s AND d.event_id = {})
"""
# Whether later events wait for event p.
_AWAITED = f"""
EXISTS (SELECT 1 FROM eventbus_subscription s WHERE s.consumer = %(consumer)s AND s.event = p.name
        AND s.until IS NULL AND s.since <= p.recorded_at)
AND NOT {_INBOX.format("p.id")}
AND NOT {_DISCARDED.format("p.id")}
AND NOT EXISTS (SELECT 1 FROM eventbus_parked w
                WHERE w.consumer = %(consumer)s AND w.event_id = p.id AND w.skipped)
"""
# An event that no other row accounts for: parked ones wait themselves.
_MISSING_EVENTS = f"""
FROM eventbus_event p WHERE p.aggregate = {{}} AND {_AWAITED}
  AND NOT EXISTS (SELECT 1 FROM eventbus_parked w WHERE w.consumer = %(consumer)s
                  AND w.event_id = p.id AND w.dispatched_at IS NULL)
"""
# NULL: it is handled, so this is a duplicate.
_TURNS = {
    vendor: f"""
SELECT e.id, e.position, CASE
    WHEN {_INBOX.format("e.id")} THEN NULL
    ELSE EXISTS (
        SELECT 1 FROM eventbus_event p
        WHERE p.aggregate = e.aggregate AND p.position < e.position AND {_AWAITED}
          AND p.id NOT IN (SELECT wanted.id FROM {ids})) END
FROM {ids} JOIN eventbus_event e ON e.id = wanted.id
WHERE e.aggregate <> '' ORDER BY e.position
"""
    for vendor, ids in _IDS.items()
}
# The first missing event of each stream ends those that can be dispatched; one that was dispatched
# is missing until it is handled.
_READY = {
    vendor: f"""
WITH stream AS (
         SELECT DISTINCT aggregate FROM eventbus_parked
         WHERE consumer = %(consumer)s AND dispatched_at IS NULL
           AND (%(all)s OR aggregate {among.format("aggregates")})),
     missing AS (
         SELECT stream.aggregate,
                (SELECT min(p.position) {_MISSING_EVENTS.format("stream.aggregate")}) AS position
         FROM stream),
     ready AS (
         SELECT w.id, row_number() OVER (PARTITION BY w.aggregate ORDER BY w.position) AS place
         FROM eventbus_parked w JOIN missing ON missing.aggregate = w.aggregate
         WHERE w.consumer = %(consumer)s AND w.dispatched_at IS NULL
           AND (missing.position IS NULL OR w.position < missing.position))
SELECT id FROM ready WHERE place <= %(size)s
"""
    for vendor, among in _IN.items()
}
_MISSING = f"""
SELECT p.id {_MISSING_EVENTS.format("%(aggregate)s")} ORDER BY p.position LIMIT 1
"""
_SETTLED = f"""
SELECT w.id FROM eventbus_parked w WHERE w.consumer = %(consumer)s
  AND ({_INBOX.format("w.event_id")} OR {_DISCARDED.format("w.event_id")})
"""
_SUPERSEDED = {
    vendor: f"""
SELECT e.id FROM {ids} JOIN eventbus_event e ON e.id = wanted.id
WHERE e.aggregate <> '' AND EXISTS (
    SELECT 1 FROM eventbus_event q
    WHERE q.aggregate = e.aggregate AND q.position > e.position
      AND q.name {_IN[vendor].format("names")} AND {_INBOX.format("q.id")})
"""
    for vendor, ids in _IDS.items()
}
