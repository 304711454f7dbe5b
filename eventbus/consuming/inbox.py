"""Once per consumer and event: insert first, then handle.

200 runs for 200 events under four racing deliveries; asking first ran the handler 797 times.
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
from eventbus.events import Envelope
from eventbus.models import Event, Inbox, Subscription
from infra import clock, locks, postgres

log = structlog.get_logger(__name__)

YOUNG = dt.timedelta(hours=12)  # archived is what is twice as old: clocks of machines may differ
_GENERATION = "SELECT coalesce(max(generation), 0) FROM eventbus_subscription WHERE consumer = %s"
_TABLE = Inbox._meta.db_table
_TAKE = {
    vendor: f"INSERT INTO {_TABLE} (consumer, generation, event_id, handled_at)"
    f" SELECT %s, ({_GENERATION}), e.id, CURRENT_TIMESTAMP FROM ({given}) e"
    " WHERE true ON CONFLICT DO NOTHING RETURNING event_id"
    for vendor, given in {
        "postgresql": "SELECT unnest(%s::uuid[]) AS id",
        "sqlite": "SELECT value AS id FROM json_each(%s)",
    }.items()
}


def mark_handled(consumer: str, events: Sequence[UUID], keys: Iterable[str]) -> set[UUID]:
    """Hold the keys, mark events handled, and return those that were not before: one round trip.

    The locks and the marks live and die with the caller's transaction.
    """
    with postgres.cursor() as cursor:
        with postgres.pipeline():
            locks.hold_as(consumer, keys)
            cursor.execute(_TAKE[connection.vendor], [consumer, consumer, _array(sorted(events))])
        fresh = {id if isinstance(id, UUID) else UUID(id) for (id,) in cursor.fetchall()}
    _tell_again(consumer, len(events) - len(fresh))
    return fresh


def start(consumer: str, event: UUID) -> tuple[str, dt.datetime]:
    """Begin a call outside, and say how things stand: with until when that holds.

    `fresh`: nobody tried; `again`: somebody did and was cut off; both are ours now.
    `busy`: somebody is at it; `done`: it is handled.
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
        _tell_again(consumer, 1)
        return "done", row.handled_at
    if row.lease_until and row.lease_until > now:
        return "busy", row.lease_until
    Inbox.objects.filter(pk=row.pk).update(lease_until=until)
    return "again", until


def finish(consumer: str, event: UUID) -> bool:
    """Mark a call outside as recorded; False where another delivery was faster."""
    unfinished = Inbox.objects.filter(consumer=consumer, event_id=event, handled_at=None)
    return bool(unfinished.update(handled_at=clock.now(), lease_until=None))


def forget(consumer: str, event: UUID, until: dt.datetime) -> None:
    """Take back the start of a call that failed: the next attempt is a fresh one.

    Only the holder of the lease may: one that comes too late would undo another's start.
    """
    Inbox.objects.filter(
        consumer=consumer, event_id=event, handled_at=None, lease_until=until
    ).delete()


def drop_archived(consumer: str, marked: Iterable[Envelope]) -> set[UUID]:
    """Unmark events that are archived, and their inbox rows with them: second copies of messages.

    Asked after the mark: one that had to wait for the archive's commit sees it then.
    """
    lately = dt.datetime.now(dt.UTC) - YOUNG
    old = {envelope.id for envelope in marked if envelope.recorded_at < lately}
    if not old:
        return old
    gone = old - set(Event.objects.filter(pk__in=old).values_list("pk", flat=True))
    Inbox.objects.filter(consumer=consumer, event_id__in=gone).delete()
    return gone


def generation(consumer: str) -> int:
    """Return under which generation a consumer handles now."""
    known = Subscription.objects.filter(consumer=consumer).aggregate(n=Max("generation"))
    return known["n"] or 0


def release_leases() -> None:
    """Free what a killed process had started: only for the one process there is."""
    Inbox.objects.filter(handled_at=None).update(lease_until=clock.now())


def _array(ids: Sequence[UUID]) -> str:
    """Return ids as one value, which is quoted much faster than one value each."""
    if connection.vendor == "postgresql":
        return f"{{{','.join(map(str, ids))}}}"
    return json.dumps([id.hex for id in ids])


def _tell_again(consumer: str, events: int) -> None:
    """Say that events came that were handled already; a transaction that fails says nothing."""
    if events:
        told = partial(log.info, "duplicate delivery", consumer=consumer, events=events)
        transaction.on_commit(told)


def left(until: dt.datetime) -> float:
    """Return the seconds until a lease ends, one at the least."""
    return max(1.0, (until - clock.now()).total_seconds())
