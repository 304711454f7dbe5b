"""The inbox: a consumer handles an event once, as its row is inserted before the handler runs.

200 runs for 200 events under four racing deliveries; a check with SELECT first ran 797 handlers.
"""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from functools import partial
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Max

from eventbus.conf import conf
from eventbus.consuming import session
from eventbus.events import Envelope
from eventbus.models import Duplicates, Event, Inbox, Subscription
from infra import clock, locks, postgres

log = structlog.get_logger(__name__)

# Only events of at least twice this age are archived: clocks of machines may differ.
NEVER_ARCHIVED = dt.timedelta(hours=12)
_GENERATION = "SELECT coalesce(max(generation), 0) FROM eventbus_subscription WHERE consumer = %s"
_TABLE = Inbox._meta.db_table
_INSERT = {
    vendor: f"INSERT INTO {_TABLE} (consumer, generation, event_id, handled_at)"
    f" SELECT %s, ({_GENERATION}), e.id, CURRENT_TIMESTAMP FROM ({ids}) e"
    f" WHERE true ON CONFLICT DO NOTHING"
    f" RETURNING event_id, {transaction_id}, {session.STATE[vendor]}"
    for vendor, ids, transaction_id in (
        ("postgresql", "SELECT unnest(%s::uuid[]) AS id", "pg_current_xact_id()::text"),
        ("sqlite", "SELECT value AS id FROM json_each(%s)", "''"),
    )
}


def mark_handled(
    consumer: str, events: Sequence[UUID], keys: Iterable[str]
) -> tuple[set[UUID], str]:
    """Acquire the keys, mark events handled, and return the ones that were not: one round trip.

    The second value is PostgreSQL's id of the transaction, if an event was marked. The session is
    then as it was before any handler.

    Locks and marks last until the caller's transaction ends.
    """
    with postgres.cursor() as cursor:
        with postgres.pipeline():
            locks.acquire_for_delivery(consumer, keys)
            cursor.execute(_INSERT[connection.vendor], [consumer, consumer, array(sorted(events))])
        rows = cursor.fetchall()
    marked = {id if isinstance(id, UUID) else UUID(id) for id, *_ in rows}
    if not rows:
        return marked, ""
    _, transaction_id, state = rows[0]
    session.restore(state)
    return marked, transaction_id


def marked_by(consumer: str, events: Iterable[UUID], transaction_id: str) -> set[UUID]:
    """Return the events marked handled; on PostgreSQL only those marked by this transaction."""
    marks = Inbox.objects.filter(
        consumer=consumer, generation=generation(consumer), event_id__in=events
    )
    if transaction_id:
        # The system column has the lower 32 bits. Another delivery may have marked it since.
        marks = marks.extra(where=["xmin::text = %s"], params=[str(int(transaction_id) % 2**32)])
    return set(marks.values_list("event_id", flat=True))


def unmark(consumer: str, events: Iterable[UUID]) -> None:
    """Undo marks that a handler has committed by hand, so that a retry handles the events."""
    current = {"consumer": consumer, "generation": generation(consumer)}
    Inbox.objects.filter(**current, event_id__in=events).delete()


def start(consumer: str, event: UUID) -> tuple[str, dt.datetime]:
    """Start an external call, and return its state and until when that holds.

    `fresh`: no delivery has called before; `again`: one was interrupted. Both are leased now.
    `busy`: another delivery calls at present; `done`: the event is handled.
    """
    now = clock.now()
    until = now + dt.timedelta(seconds=conf().LEASE_SECONDS)
    row, created = Inbox.objects.select_for_update().get_or_create(
        consumer=consumer,
        generation=generation(consumer),
        event_id=event,
        defaults={"lease_until": until},
    )
    if created:
        return "fresh", until
    if row.handled_at:
        count_absorbed(consumer, 1)
        return "done", row.handled_at
    if row.lease_until and row.lease_until > now:
        return "busy", row.lease_until
    Inbox.objects.filter(pk=row.pk).update(lease_until=until)
    return "again", until


def finish(consumer: str, event: UUID) -> bool:
    """Mark an external call handled; False if another delivery has done so."""
    unfinished = Inbox.objects.filter(consumer=consumer, event_id=event, handled_at=None)
    return bool(unfinished.update(handled_at=clock.now(), lease_until=None))


def undo_start(consumer: str, event: UUID, until: dt.datetime) -> None:
    """Undo the start of an external call that failed, so that the next attempt is fresh."""
    # By the lease's end: a call that outlived its lease must not undo another delivery's start.
    Inbox.objects.filter(
        consumer=consumer, event_id=event, handled_at=None, lease_until=until
    ).delete()


def drop_archived(consumer: str, marked: Iterable[Envelope]) -> set[UUID]:
    """Unmark events that are archived: duplicates, whose inbox rows are archived with them."""
    # Called after the mark: one that waited for the archive's commit sees it now.
    recent = dt.datetime.now(dt.UTC) - NEVER_ARCHIVED
    old = {envelope.id for envelope in marked if envelope.recorded_at < recent}
    if not old:
        return old
    archived = old - set(Event.objects.filter(pk__in=old).values_list("pk", flat=True))
    Inbox.objects.filter(consumer=consumer, event_id__in=archived).delete()
    return archived


def generation(consumer: str) -> int:
    """Return the generation of a consumer's inbox; each rebuild raises it."""
    highest = Subscription.objects.filter(consumer=consumer).aggregate(n=Max("generation"))
    return highest["n"] or 0


def release_leases() -> None:
    """End the leases of a process that was killed: only for a deployment of one process."""
    Inbox.objects.filter(handled_at=None).update(lease_until=clock.now())


def seconds_left(until: dt.datetime) -> float:
    """Return the seconds until a lease ends, at least 1."""
    return max(1.0, (until - clock.now()).total_seconds())


def array(ids: Sequence[UUID]) -> str:
    """Return ids as one value, which is quoted much faster than one value each."""
    if connection.vendor == "postgresql":
        return f"{{{','.join(map(str, ids))}}}"
    return json.dumps([id.hex for id in ids])


_COUNT = f"""
INSERT INTO {Duplicates._meta.db_table} AS d (consumer, absorbed, superseded, last_at)
VALUES (%s, %s, %s, CURRENT_TIMESTAMP)
ON CONFLICT (consumer)
DO UPDATE SET absorbed = d.absorbed + excluded.absorbed, last_at = excluded.last_at,
              superseded = d.superseded + excluded.superseded
"""


def count_absorbed(consumer: str, events: int, superseded: int = 0) -> None:
    """Count and log duplicate and superseded deliveries, with the transaction of their message.

    The row is shared by all deliveries to the consumer, so it is locked last.
    """
    if events or superseded:
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, [consumer, events, superseded])
    # On commit: a delivery that fails is delivered again, and would be logged twice.
    for message, count in (
        ("duplicate delivery", events),
        ("superseded by later events", superseded),
    ):
        if count:
            transaction.on_commit(partial(log.info, message, consumer=consumer, events=count))
