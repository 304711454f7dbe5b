"""Telling one consumer again, and nobody else.

What it never handled is simply delivered: news from before it listened, or news that was lost to
it by a mistake. What it has handled it handles again only where it is declared replayable, and
under a new generation of its inbox, so that deliveries on their way double nothing.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, QuerySet

from eventbus import registry
from eventbus.conf import conf
from eventbus.consuming import inbox
from eventbus.errors import CannotReplay, UnknownConsumer
from eventbus.models import (
    Action,
    DeadLetter,
    Discarded,
    Dispatch,
    Event,
    Inbox,
    Retry,
    Subscription,
)
from eventbus.operations import retention
from eventbus.operations.audit_log import record_action, record_progress
from eventbus.publishing.serialization import rfc3339
from eventbus.registry import Consumer
from infra import locks

Progress = Callable[[int], object]


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """Which events, for whom; times are those of the log."""

    consumer: str
    name: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    aggregate: str = ""

    def events(self) -> QuerySet[Event]:
        """Return the events that the consumer hears of those asked for, in the log's order."""
        heard = registry.consumers[self.consumer].hears
        wanted = {
            "name": self.name,
            "recorded_at__gte": self.since,
            "recorded_at__lt": self.until,
            "aggregate": self.aggregate,
        }
        given = {key: value for key, value in wanted.items() if value}
        return Event.objects.filter(name__in=heard).filter(**given).order_by("position")

    def told(self) -> dict[str, Any]:
        """Return the filter as JSON, for the record."""
        given = {key: value for key, value in asdict(self).items() if value}
        return {k: rfc3339(v) if isinstance(v, dt.datetime) else v for k, v in given.items()}


def preview(selection: ReplayRequest, again: bool = False) -> dict[str, int]:
    """Count what a replay would meet. Raises UnknownConsumer, CannotReplay, InArchive."""
    _fit(selection, again)
    retention.must_be_whole(selection.since, selection.until)
    events, consumer = selection.events(), selection.consumer
    counts = {
        "matching": events.count(),
        "handled": events.filter(_handled(consumer)).count(),
        "dead letters": events.filter(_in(DeadLetter, consumer)).count(),
        "discarded": events.filter(_in(Discarded, consumer)).count(),
        "retrying": events.filter(_in(Retry, consumer)).count(),
        "to deliver": _open(selection).count(),
    }
    if again:
        counts["to deliver"] += _redone(selection).count()
    return counts


def replay(
    selection: ReplayRequest,
    actor: str,
    *,
    again: bool = False,
    rate: float = 0,
    progress: Progress = lambda n: None,
) -> int:
    """Send a consumer what it has not handled, and `again` what it has; return how many.

    The rate is in events per second, 0 for no limit. Dead letters, retries and what an operator
    discarded stay as they are. Cut off, the same call without `again` does the rest.
    Raises UnknownConsumer, CannotReplay, InArchive, LogBusy.
    """
    found = preview(selection, again)
    chosen, total = selection.told() | {"again": again, "rate": rate}, found["to deliver"]
    whole = retention.whole(selection.since, selection.until)
    with (
        whole,
        record_action("replayed", actor, chosen=chosen, preview=found, total=total) as action,
    ):
        if again:
            _open_again(selection)
        for ids in _paced(_open_in_order(selection, _size(rate)), rate):
            _mark(selection.consumer, ids, action)
            progress(len(ids))
        action.result = {"sent": action.done}
    return action.done


def undiscarded(consumer: str, events: QuerySet[Event]) -> QuerySet[Event]:
    """Return the events without those that an operator discarded."""
    return events.exclude(_in(Discarded, consumer))


def _fit(selection: ReplayRequest, again: bool) -> Consumer:
    consumer = registry.consumers.get(selection.consumer)
    if consumer is None:
        raise UnknownConsumer(consumer=selection.consumer)
    if consumer.external:
        reason = "it calls other systems, and what it does there cannot be undone"
        raise CannotReplay(consumer=consumer.name, reason=reason)
    if again and not consumer.replayable:
        reason = "it is not declared replayable; without --again it gets what it never handled"
        raise CannotReplay(consumer=consumer.name, reason=reason)
    if selection.name and selection.name not in consumer.hears:
        heard = ", ".join(consumer.hears)
        reason = f"it does not hear {selection.name}; it hears {heard}"
        raise CannotReplay(consumer=consumer.name, reason=reason)
    return consumer


def _met(consumer: str) -> Exists:
    now = inbox.generation(consumer)
    rows = Inbox.objects.filter(consumer=consumer, generation=now, event_id=OuterRef("id"))
    return Exists(rows)


def _handled(consumer: str) -> Exists:
    now = inbox.generation(consumer)
    rows = Inbox.objects.filter(consumer=consumer, generation=now, event_id=OuterRef("id"))
    return Exists(rows.exclude(handled_at=None))


def _in(table: Any, consumer: str) -> Exists:
    return Exists(table.objects.filter(consumer=consumer, event_id=OuterRef("id")))


def _not_in_trouble(consumer: str, events: QuerySet[Event]) -> QuerySet[Event]:
    return (
        undiscarded(consumer, events)
        .exclude(_in(DeadLetter, consumer))
        .exclude(_in(Retry, consumer))
    )


def _open(selection: ReplayRequest) -> QuerySet[Event]:
    events = selection.events().exclude(_met(selection.consumer))
    return _not_in_trouble(selection.consumer, events)


def _redone(selection: ReplayRequest) -> QuerySet[Event]:
    events = selection.events().filter(_handled(selection.consumer))
    return _not_in_trouble(selection.consumer, events)


@transaction.atomic
def _open_again(selection: ReplayRequest) -> None:
    """Begin a new generation, into which everything moves but what is to be handled again.

    Whatever else is delivered twice is still known, and no delivery runs meanwhile.
    """
    consumer = selection.consumer
    locks.hold_alone(consumer)
    rows = Inbox.objects.filter(consumer=consumer, generation=inbox.generation(consumer))
    rows.filter(event_id__in=_redone(selection).order_by().values("pk")).delete()
    rows.update(generation=F("generation") + 1)
    next_one = inbox.generation(consumer) + 1
    Subscription.objects.filter(consumer=consumer).update(generation=next_one)


def _open_in_order(selection: ReplayRequest, size: int) -> Iterator[list[UUID]]:
    """Read up to where the log ends now: what is recorded later goes its usual way."""
    events, seen = _open(selection), 0
    last = selection.events().aggregate(last=Max("position"))["last"] or 0
    pages = events.filter(position__lte=last).values_list("position", "pk")
    while page := list(pages.filter(position__gt=seen)[:size]):
        seen = page[-1][0]
        yield [pk for _, pk in page]


def _size(rate: float) -> int:
    return max(1, min(conf().BATCH, int(rate))) if rate else conf().BATCH


def _paced(batches: Iterator[list[UUID]], rate: float) -> Iterator[list[UUID]]:
    began, gone = time.monotonic(), 0
    for ids in batches:
        if rate:
            time.sleep(max(0.0, began + gone / rate - time.monotonic()))
        gone += len(ids)
        yield ids


@transaction.atomic
def _mark(consumer: str, ids: list[UUID], action: Action) -> None:
    """Put a message on its way."""
    Dispatch.objects.create(consumer=consumer, event_ids=[str(id) for id in ids], replayed=True)
    record_progress(action, len(ids))
