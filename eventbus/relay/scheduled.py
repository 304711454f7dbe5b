"""What is due besides the outbox: scheduled news, retries, messages to send again, probes.

Most looks find nothing, so all of it is looked at in one round trip. Each step is a transaction of
its own, and takes rows that no other relay has.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q

from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.consuming.corrections import corrected
from eventbus.models import ConsumerHealth, Dispatch, Event, Retry, Scheduled
from eventbus.publishing import outbox
from eventbus.relay import claim
from eventbus.relay.transports import Message
from infra import clock


@dataclass(frozen=True, kw_only=True)
class Due:
    """What a look has found."""

    now: dt.datetime
    overdue: dt.datetime  # what was sent before, and is not confirmed, goes again
    scheduled: bool
    retries: bool
    unsent: bool
    probes: bool

    def wake(self) -> None:
        """Let scheduled news enter the log, and make dispatches of retries."""
        if self.scheduled:
            _wake_scheduled(self.now)
        if self.retries:
            _wake_retries(self.now)

    def again(self) -> list[Message]:
        """Take the messages whose sending failed, or was not confirmed in time, and retries."""
        return _unsent(self.now, self.overdue) if self.unsent or self.retries else []

    def risks(self) -> list[Message]:
        """Take one event for each consumer in trouble whose time for a probe has come."""
        return _probes(self.now) if self.probes else []


def poll() -> Due:
    """Look at what may be due."""
    now = clock.now()
    overdue = now - dt.timedelta(seconds=conf().SEND_DEADLINE)
    at, late = (connection.ops.adapt_datetimefield_value(time) for time in (now, overdue))
    many = conf().PROBE_AFTER_FAILURES
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [at, at, late, many, many, at])
        scheduled, retries, unsent, probes = map(bool, cursor.fetchone())
    return Due(
        now=now,
        overdue=overdue,
        scheduled=scheduled,
        retries=retries,
        unsent=unsent,
        probes=probes,
    )


@transaction.atomic
def _wake_scheduled(now: dt.datetime) -> None:
    due = Scheduled.objects.filter(due_at__lte=now).order_by("due_at")
    rows = list(due.select_for_update(skip_locked=True)[: conf().CLAIM_SIZE])
    if rows:
        fields = [f.name for f in Scheduled._meta.concrete_fields if f.name != "due_at"]
        outbox.record([{name: getattr(row, name) for name in fields} for row in rows])
        Scheduled.objects.filter(pk__in=[row.pk for row in rows]).delete()


@transaction.atomic
def _wake_retries(now: dt.datetime) -> None:
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


@transaction.atomic
def _unsent(now: dt.datetime, overdue: dt.datetime) -> list[Message]:
    unsent = Dispatch.objects.filter(
        Q(claimed_at=None) | Q(claimed_at__lt=overdue), confirmed_at=None
    ).exclude(consumer__in=claim.unhealthy_consumers())
    rows = list(unsent.order_by("pk").select_for_update(skip_locked=True)[: conf().CLAIM_SIZE])
    Dispatch.objects.filter(pk__in=[dispatch.pk for dispatch in rows]).update(claimed_at=now)
    return _messages(rows)


@transaction.atomic
def _probes(now: dt.datetime) -> list[Message]:
    due = ConsumerHealth.objects.filter(
        failures__gte=conf().PROBE_AFTER_FAILURES, probe_at__lte=now
    )
    probes = []
    for trouble in due.select_for_update(skip_locked=True):
        trouble.probe_at = now + dt.timedelta(seconds=conf().PROBE_INTERVAL)
        trouble.save()
        held = Dispatch.objects.filter(consumer=trouble.consumer, confirmed_at=None)
        first = held.order_by("pk").select_for_update(skip_locked=True).first()
        if first:
            probes.append(_first_event_of(first, now))
    return _messages(probes)


def _first_event_of(dispatch: Dispatch, now: dt.datetime) -> Dispatch:
    """Take the first event out of a dispatch: a probe risks one."""
    if len(dispatch.event_ids) > 1:
        rest = dispatch.event_ids[1:]
        Dispatch.objects.create(
            consumer=dispatch.consumer,
            event_ids=rest,
            retry=dispatch.retry,
            replayed=dispatch.replayed,
        )
        dispatch.event_ids = dispatch.event_ids[:1]
    dispatch.claimed_at, dispatch.retry = now, True
    dispatch.save()
    return dispatch


def _messages(dispatches: Sequence[Dispatch]) -> list[Message]:
    edited = corrected(dispatches)
    logged = Event.objects.in_bulk(
        [UUID(id) for dispatch in dispatches for id in dispatch.event_ids]
    )
    wire = {str(id): to_cloudevent(event.envelope()) for id, event in logged.items()}
    return [
        claim.message_of(
            f, [wire[id] | edited.get((f.consumer, id), {}) | _mark(f) for id in f.event_ids]
        )
        for f in dispatches
    ]


def _mark(dispatch: Dispatch) -> dict[str, Any]:
    return {"replayed": True} if dispatch.replayed else {}


_WAITING = """
SELECT EXISTS (SELECT 1 FROM eventbus_scheduled WHERE due_at <= %s),
       EXISTS (SELECT 1 FROM eventbus_retry WHERE next_at <= %s),
       EXISTS (SELECT 1 FROM eventbus_dispatch
               WHERE confirmed_at IS NULL AND (claimed_at IS NULL OR claimed_at < %s)
                 AND consumer NOT IN
                     (SELECT consumer FROM eventbus_consumer_health WHERE failures >= %s)),
       EXISTS (SELECT 1 FROM eventbus_consumer_health WHERE failures >= %s AND probe_at <= %s)
"""
