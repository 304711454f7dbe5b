"""Replay of events to one consumer.

Events that it has not handled are delivered: those from before it existed, or lost by a mistake.
Events that it has handled are delivered again only if it is declared replayable, under a new
inbox generation, so that deliveries in flight have no second effect.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, Max, OuterRef, QuerySet

from eventbus import registry
from eventbus.conf import conf
from eventbus.consuming import inbox
from eventbus.errors import CannotReplay, UnknownConsumer
from eventbus.models import (
    Action,
    DeadLetter,
    DiscardedDeadLetter,
    Dispatch,
    Event,
    Inbox,
    Parked,
    Retry,
    Subscription,
)
from eventbus.operations import retention
from eventbus.operations.audit_log import record_action, record_progress, step
from eventbus.publishing.serialization import rfc3339
from eventbus.registry import Consumer
from infra import locks
from infra.transactions import atomic

Progress = Callable[[int], object]


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """A consumer, and a filter of the events to replay; times are those of `recorded_at`."""

    consumer: str
    name: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    aggregate: str = ""

    def events(self) -> QuerySet[Event]:
        """Return the matching events that the consumer subscribes to, in the order of the log."""
        subscribed = registry.consumers[self.consumer].events
        wanted = {
            "name": self.name,
            "recorded_at__gte": self.since,
            "recorded_at__lt": self.until,
            "aggregate": self.aggregate,
        }
        given = {key: value for key, value in wanted.items() if value}
        return Event.objects.filter(name__in=subscribed).filter(**given).order_by("position")

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are set, for the audit record."""
        given = {key: value for key, value in asdict(self).items() if value}
        return {k: rfc3339(v) if isinstance(v, dt.datetime) else v for k, v in given.items()}


def preview(request: ReplayRequest, again: bool = False) -> dict[str, int]:
    """Count events by delivery status. Raises UnknownConsumer, CannotReplay, InArchive."""
    _validate(request, again)
    retention.require_complete(request.since, request.until)
    events, consumer = request.events(), request.consumer
    counts = {
        "matching": events.count(),
        "handled": events.filter(_handled(consumer)).count(),
        "dead letters": events.filter(_in(DeadLetter, consumer)).count(),
        "discarded": events.filter(_in(DiscardedDeadLetter, consumer)).count(),
        "parked": events.filter(_in(Parked, consumer)).count(),
        "retrying": events.filter(_in(Retry, consumer)).count(),
        "to deliver": _unhandled(request).count(),
    }
    if again:
        counts["to deliver"] += _handled_again(request).count()
    return counts


def replay(
    request: ReplayRequest,
    actor: str,
    *,
    again: bool = False,
    rate: float = 0,
    progress: Progress = lambda n: None,
) -> int:
    """Queue events for a consumer, with `again` also handled ones; return how many.

    The rate is in events per second, 0 for no limit. Dead letters, retries, parked and discarded
    events stay as they are. If it is interrupted, a call without `again` queues the rest.
    Raises UnknownConsumer, CannotReplay, InArchive, LogBusy.
    """
    found = preview(request, again)
    filters, total = request.as_json() | {"again": again, "rate": rate}, found["to deliver"]
    with (
        retention.hold_complete(request.since, request.until),
        record_action(
            Action.Operation.REPLAY, actor, selection=filters, preview=found, total=total
        ) as action,
    ):
        if again:
            _start_generation(request)
        for ids in _throttled(_pages(request, _size(rate)), rate):
            step(action, partial(_dispatch, request.consumer, ids, action))
            progress(len(ids))
        action.result = {"queued": action.processed}
    return action.processed


def undiscarded(consumer: str, events: QuerySet[Event]) -> QuerySet[Event]:
    """Return the events without those that an operator discarded."""
    return events.exclude(_in(DiscardedDeadLetter, consumer))


def _validate(request: ReplayRequest, again: bool) -> Consumer:
    consumer = registry.consumers.get(request.consumer)
    if consumer is None:
        raise UnknownConsumer(consumer=request.consumer)
    if consumer.external:
        reason = "it calls external systems, and those calls cannot be undone"
        raise CannotReplay(consumer=consumer.name, reason=reason)
    if again and not consumer.replayable:
        reason = (
            "it is not declared replayable; without --again it gets the events it never handled"
        )
        raise CannotReplay(consumer=consumer.name, reason=reason)
    if request.name and request.name not in consumer.events:
        subscribed = ", ".join(consumer.events)
        reason = f"it does not subscribe to {request.name}, only to {subscribed}"
        raise CannotReplay(consumer=consumer.name, reason=reason)
    return consumer


def _in_inbox(consumer: str) -> Exists:
    now = inbox.generation(consumer)
    rows = Inbox.objects.filter(consumer=consumer, generation=now, event_id=OuterRef("id"))
    return Exists(rows)


def _handled(consumer: str) -> Exists:
    now = inbox.generation(consumer)
    rows = Inbox.objects.filter(consumer=consumer, generation=now, event_id=OuterRef("id"))
    return Exists(rows.exclude(handled_at=None))


def _in(table: Any, consumer: str) -> Exists:
    return Exists(table.objects.filter(consumer=consumer, event_id=OuterRef("id")))


def _without_failures(consumer: str, events: QuerySet[Event]) -> QuerySet[Event]:
    return (
        undiscarded(consumer, events)
        .exclude(_in(DeadLetter, consumer))
        .exclude(_in(Retry, consumer))
        .exclude(_in(Parked, consumer))
    )


def _unhandled(request: ReplayRequest) -> QuerySet[Event]:
    events = request.events().exclude(_in_inbox(request.consumer))
    return _without_failures(request.consumer, events)


def _handled_again(request: ReplayRequest) -> QuerySet[Event]:
    events = request.events().filter(_handled(request.consumer))
    return _without_failures(request.consumer, events)


@atomic
def _start_generation(request: ReplayRequest) -> None:
    """Start an inbox generation without the rows of the events to handle again.

    All other rows move into it, so their events stay handled. No delivery runs meanwhile.
    """
    consumer = request.consumer
    locks.exclude_deliveries(consumer)
    rows = Inbox.objects.filter(consumer=consumer, generation=inbox.generation(consumer))
    rows.filter(event_id__in=_handled_again(request).order_by().values("pk")).delete()
    rows.update(generation=F("generation") + 1)
    next_one = inbox.generation(consumer) + 1
    Subscription.objects.filter(consumer=consumer).update(generation=next_one)


def _pages(request: ReplayRequest, size: int) -> Iterator[list[UUID]]:
    """Yield the ids of the events to deliver, up to the current end of the log."""
    events, seen = _unhandled(request), 0
    last = request.events().aggregate(last=Max("position"))["last"] or 0
    pages = events.filter(position__lte=last).values_list("position", "pk")
    while page := list(pages.filter(position__gt=seen)[:size]):
        seen = page[-1][0]
        yield [pk for _, pk in page]


def _size(rate: float) -> int:
    return max(1, min(conf().BATCH_SIZE, int(rate))) if rate else conf().BATCH_SIZE


def _throttled(batches: Iterator[list[UUID]], rate: float) -> Iterator[list[UUID]]:
    began, sent = time.monotonic(), 0
    for ids in batches:
        if rate:
            time.sleep(max(0.0, began + sent / rate - time.monotonic()))
        sent += len(ids)
        yield ids


def _dispatch(consumer: str, ids: list[UUID], action: Action) -> None:
    """Add a dispatch; the relay sends it."""
    Dispatch.objects.create(consumer=consumer, event_ids=[str(id) for id in ids], replayed=True)
    record_progress(action, len(ids))
