"""Once per consumer and event: insert first, then handle.

200 runs for 200 events under four racing deliveries; asking first ran the handler 797 times.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Max

from eventbus import clock
from eventbus.conf import conf
from eventbus.events import Envelope
from eventbus.models import Event, Inbox, Subscription

YOUNG = dt.timedelta(hours=12)  # archived is what is twice as old: clocks of machines may differ
_GENERATION = "SELECT coalesce(max(generation), 0) FROM eventbus_subscription WHERE consumer = %s"
_TABLE = Inbox._meta.db_table
_UUID = Inbox._meta.get_field("event_id")


def take(consumer: str, events: Sequence[UUID]) -> set[UUID]:
    """Mark events handled and return those that were not before, in one statement.

    The mark lives and dies with the caller's transaction.
    """
    rows = ", ".join(["(%s)"] * len(events))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} (consumer, generation, event_id, handled_at)"
            f" SELECT %s, ({_GENERATION}), e.column1, CURRENT_TIMESTAMP FROM (VALUES {rows}) e"
            " WHERE true ON CONFLICT DO NOTHING RETURNING event_id",
            [consumer, consumer, *(_stored(id) for id in sorted(events))],
        )
        return {UUID(str(row[0])) for row in cursor.fetchall()}


def start(consumer: str, event: UUID) -> tuple[str, dt.datetime]:
    """Begin a call outside, and say how things stand: with until when that holds.

    `fresh`: nobody tried; `again`: somebody did and was cut off; both are ours now.
    `busy`: somebody is at it; `done`: it is handled.
    """
    now = clock.now()
    until = now + dt.timedelta(seconds=conf().LEASE)
    row, created = Inbox.objects.select_for_update().get_or_create(
        consumer=consumer,
        generation=generation(consumer),
        event_id=event,
        defaults={"lease_until": until},
    )
    if created:
        return "fresh", until
    if row.handled_at:
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


def bygone(consumer: str, marked: Iterable[Envelope]) -> set[UUID]:
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


def end_leases() -> None:
    """Free what a killed process had started: only for the one process there is."""
    Inbox.objects.filter(handled_at=None).update(lease_until=clock.now())


def _stored(id: UUID) -> Any:
    return _UUID.get_db_prep_value(id, connection)


def left(until: dt.datetime) -> float:
    """Return the seconds until a lease ends, one at the least."""
    return max(1.0, (until - clock.now()).total_seconds())
