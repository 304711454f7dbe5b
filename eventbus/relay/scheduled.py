"""Work that is due besides the outbox: scheduled events, retries, resends, probes.

Most polls find nothing, so one round trip looks at everything. Each step is a transaction of its
own, and takes rows that no other relay has locked.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Q

from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.consuming import pauses, retries
from eventbus.consuming.corrections import corrected
from eventbus.models import ConsumerHealth, Dispatch, Event, Retry, Scheduled
from eventbus.publishing import outbox
from eventbus.relay import batching, claim, sizes
from eventbus.relay.transports import Message
from infra import clock
from infra.transactions import atomic


@dataclass(frozen=True, kw_only=True)
class Due:
    """The result of a poll."""

    now: dt.datetime
    overdue: dt.datetime  # a message sent before, and not confirmed, is sent again
    scheduled: bool
    retries: bool
    unsent: bool
    probes: bool

    def promote(self) -> None:
        """Move due scheduled events into the log, and make dispatches of due retries."""
        if self.scheduled:
            _promote_scheduled(self.now)
        if self.retries:
            _promote_retries(self.now)

    def resend(self) -> list[Message]:
        """Claim the messages that were not sent, or not confirmed in time, and the retries."""
        return _claim_unsent(self.now, self.overdue) if self.unsent or self.retries else []

    def probe(self) -> list[Message]:
        """Claim one event for each unhealthy consumer whose next probe is due."""
        return _claim_probes(self.now) if self.probes else []


def poll() -> Due:
    """Return which kinds of work are due: one query."""
    now = clock.now()
    overdue = now - dt.timedelta(seconds=conf().SEND_DEADLINE)
    at, late = (connection.ops.adapt_datetimefield_value(time) for time in (now, overdue))
    failures = conf().PROBE_AFTER_FAILURES
    with connection.cursor() as cursor:
        cursor.execute(_POLL, [at, at, late, failures, failures, at])
        scheduled, retries, unsent, probes = map(bool, cursor.fetchone())
    return Due(
        now=now,
        overdue=overdue,
        scheduled=scheduled,
        retries=retries,
        unsent=unsent,
        probes=probes,
    )


@atomic
def _promote_scheduled(now: dt.datetime) -> None:
    due = Scheduled.objects.filter(due_at__lte=now).order_by("due_at")
    rows = list(due.select_for_update(skip_locked=True)[: conf().CLAIM_SIZE])
    if rows:
        fields = [f.name for f in Scheduled._meta.concrete_fields if f.name != "due_at"]
        outbox.record([{name: getattr(row, name) for name in fields} for row in rows])
        Scheduled.objects.filter(pk__in=[row.pk for row in rows]).delete()


@atomic
def _promote_retries(now: dt.datetime) -> None:
    due = Retry.objects.filter(next_at__lte=now).order_by("next_at")
    rows = list(due.select_for_update(skip_locked=True)[: conf().CLAIM_SIZE])
    Dispatch.objects.bulk_create(
        Dispatch(
            consumer=row.consumer,
            event_ids=[str(row.event_id)],
            retry=True,
            replayed=row.replayed,
        )
        for row in rows
    )
    Retry.objects.filter(pk__in=[row.pk for row in rows]).update(next_at=None)


_WAITING = Q(retry=False, deliveries=0, claimed_at=None)


@atomic
def _claim_unsent(now: dt.datetime, overdue: dt.datetime) -> list[Message]:
    unsent = Dispatch.objects.filter(
        Q(claimed_at=None) | Q(claimed_at__lt=overdue), confirmed_at=None
    ).exclude(consumer__in=claim.unhealthy_consumers())
    for name in pauses.names():
        unsent = unsent.exclude(pauses.of(name))
    unsent = unsent.exclude(_WAITING, consumer__in=batching.full_queues())
    rows = list(unsent.order_by("pk").select_for_update(skip_locked=True)[: conf().CLAIM_SIZE])
    chosen = sizes.limit(batching.merge(rows))
    Dispatch.objects.filter(pk__in=[dispatch.pk for dispatch in chosen]).update(claimed_at=now)
    return _messages(chosen, now)


@atomic
def _claim_probes(now: dt.datetime) -> list[Message]:
    failures = conf().PROBE_AFTER_FAILURES
    due = ConsumerHealth.objects.filter(failures__gte=failures, probe_at__lte=now)
    probes = []
    for health in due.select_for_update(skip_locked=True):
        if pauses.is_paused(health.consumer):
            continue
        health.probe_at = now + dt.timedelta(seconds=conf().PROBE_INTERVAL)
        health.save()
        unsent = Dispatch.objects.filter(consumer=health.consumer, confirmed_at=None)
        first = unsent.order_by("pk").select_for_update(skip_locked=True).first()
        if first:
            probes.append(_split_first_event(first, now))
    return _messages(probes, now)


def _split_first_event(dispatch: Dispatch, now: dt.datetime) -> Dispatch:
    """Reduce a dispatch to its first event, as a probe risks one; the others get a new one."""
    first, *others = dispatch.event_ids
    if others:
        Dispatch.objects.create(
            consumer=dispatch.consumer,
            event_ids=others,
            retry=dispatch.retry,
            replayed=dispatch.replayed,
        )
        dispatch.event_ids = [first]
    dispatch.claimed_at, dispatch.retry = now, True
    dispatch.save()
    return dispatch


def _messages(dispatches: Sequence[Dispatch], now: dt.datetime) -> list[Message]:
    corrections = corrected(dispatches)
    logged = Event.objects.in_bulk(
        [UUID(id) for dispatch in dispatches for id in dispatch.event_ids]
    )
    events = {str(id): to_cloudevent(event.envelope()) for id, event in logged.items()}
    dispatches = [dispatch for dispatch in dispatches if _without_unlogged(dispatch, set(events))]

    def encoded(dispatch: Dispatch, id: str) -> sizes.Encoded:
        replayed = {"replayed": True} if dispatch.replayed else {}
        changes = corrections.get((dispatch.consumer, id), {}) | replayed
        return id, msgspec.json.encode(events[id] | changes)

    return [
        claim.message_of(part, batch)
        for dispatch in dispatches
        for part, batch in _parts(
            dispatch, [encoded(dispatch, id) for id in dispatch.event_ids], now
        )
    ]


def _parts(
    dispatch: Dispatch, events: Sequence[sizes.Encoded], now: dt.datetime
) -> Iterator[tuple[Dispatch, list[sizes.Encoded]]]:
    """Split a dispatch that is too large for a message: each further part gets one of its own."""
    first, *others = sizes.split(events)
    if others:
        dispatch.event_ids = [id for id, _ in first]
        dispatch.save(update_fields=["event_ids"])
    yield dispatch, first
    for batch in others:
        part = Dispatch.objects.create(
            consumer=dispatch.consumer,
            event_ids=[id for id, _ in batch],
            claimed_at=now,
            deliveries=dispatch.deliveries,
            retry=dispatch.retry,
            replayed=dispatch.replayed,
        )
        yield part, batch


def _without_unlogged(dispatch: Dispatch, logged: set[str]) -> bool:
    """Make dead letters of events that are not in the log; return whether others are left."""
    # As after a restore of the database, with messages of a later time still in the broker.
    unlogged = [id for id in dispatch.event_ids if id not in logged]
    for id in unlogged:
        retries.dead_letter_unlogged(dispatch.consumer, UUID(id))
    if unlogged:
        dispatch.event_ids = [id for id in dispatch.event_ids if id in logged]
        dispatch.save()
    if not dispatch.event_ids:
        dispatch.delete()
    return bool(dispatch.event_ids)


_POLL = """
SELECT EXISTS (SELECT 1 FROM eventbus_scheduled WHERE due_at <= %s),
       EXISTS (SELECT 1 FROM eventbus_retry WHERE next_at <= %s),
       EXISTS (SELECT 1 FROM eventbus_dispatch
               WHERE confirmed_at IS NULL AND (claimed_at IS NULL OR claimed_at < %s)
                 AND consumer NOT IN
                     (SELECT consumer FROM eventbus_consumer_health WHERE failures >= %s)
                 AND NOT EXISTS (SELECT 1 FROM eventbus_pause
                                 WHERE consumer = name
                                    OR substr(consumer, 1, length(name) + 1) = name || '.')),
       EXISTS (SELECT 1 FROM eventbus_consumer_health WHERE failures >= %s AND probe_at <= %s)
"""
