"""Rebuild of a read model: empty it and refill it from the log, while deliveries go on.

One transaction locks out deliveries to the context's consumers, starts a new inbox generation and
empties the context. After its commit the refill, which reads the log up to its current end, and
live deliveries share one inbox. The second delivery of an event finds its inbox row and is
skipped, so no event is counted twice. No event is missed either:

- An event committed before the refill starts to read is in the log that it reads.
- An event committed later has an outbox row, also if its position is lower than that of events
  already read. It is delivered live, under the new generation.
- A delivery that was running ended before the context was emptied, so its event is in the log. A
  delivery that waited for the lock runs afterwards, under the new generation.
"""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from django.db.models import Exists, Max, OuterRef

from eventbus import registry
from eventbus.consuming import corrections, inbox, pauses
from eventbus.consuming.delivery import deliver_batch
from eventbus.consuming.receipts import Receipt
from eventbus.errors import CannotRebuild
from eventbus.events import Envelope
from eventbus.models import Action, DeadLetter, Event, Inbox, Parked, Retry, Subscription
from eventbus.operations import retention
from eventbus.operations.audit_log import record_action, record_progress
from eventbus.operations.replay import undiscarded
from eventbus.registry import Consumer
from infra import locks
from infra.transactions import atomic

BATCH = 500  # events in one transaction: 200 take a third longer, 1000 hardly less

_LOGGED_FIELDS = [f.name for f in fields(Envelope) if f.name not in ("payload", "replayed")]

Progress = Callable[[int], object]
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True)
class RebuildResult:
    """The result of a rebuild; `failed` events are now retries or dead letters."""

    events: int
    seconds: float
    failed: int

    @property
    def rate(self) -> float:
        """Return events per second."""
        return self.events / self.seconds if self.seconds else 0.0


def consumers_of(context: str) -> list[Consumer]:
    """Return the consumers of a context, if all of them are replayable. Raises CannotRebuild."""
    found = sorted((c for c in registry.consumers.values() if c.context == context), key=_name)
    blocking = [c.name for c in found if c.external or not c.replayable]
    if not found:
        raise CannotRebuild(context=context, reason="it has no consumers")
    if any(pauses.is_paused(consumer.name) for consumer in found):
        raise CannotRebuild(context=context, reason="it is paused; resume it first")
    if blocking:
        raise CannotRebuild(context=context, reason=f"not replayable: {', '.join(blocking)}")
    if not hasattr(import_module(f"{context}.services"), "empty"):
        raise CannotRebuild(context=context, reason=f"{context}/services.py has no empty()")
    return found


def preview(context: str) -> dict[str, int]:
    """Count the events for each consumer. Raises CannotRebuild, InArchive."""
    found = {c.name: Event.objects.filter(name__in=c.events).count() for c in consumers_of(context)}
    retention.require_complete()
    return found


def rebuild(context: str, actor: str, progress: Progress = lambda n: None) -> RebuildResult:
    """Empty a context and refill it from the whole log; run it again if it was interrupted.

    Subscriptions are backdated: events from before a consumer existed are delivered, too.
    Raises CannotRebuild, InArchive, LogBusy.
    """
    consumers, began = consumers_of(context), time.monotonic()
    found = preview(context)
    filters, total = {"context": context}, sum(found.values())
    with (
        retention.hold_complete(),
        record_action(
            Action.Operation.REBUILD, actor, selection=filters, preview=found, total=total
        ) as action,
    ):

        def advance(n: int) -> None:
            record_progress(action, n)
            progress(n)

        _empty(context, consumers)
        last = Event.objects.aggregate(last=Max("position"))["last"] or 0
        events = sum(_refill(consumer, last, advance) for consumer in consumers)
        failed = sum(_finish(consumer.name) for consumer in consumers)
        done = RebuildResult(events=events, seconds=time.monotonic() - began, failed=failed)
        action.result = {"events": events, "seconds": round(done.seconds, 3), "failed": failed}
    return done


@atomic
def _empty(context: str, consumers: Sequence[Consumer]) -> None:
    services: Any = import_module(f"{context}.services")
    for consumer in consumers:
        locks.exclude_deliveries(consumer.name)
    for consumer in consumers:
        rows = Subscription.objects.filter(consumer=consumer.name)
        rows.update(generation=inbox.generation(consumer.name) + 1)
        rows.filter(until=None).update(since=EPOCH)
        # The refill reads their events, and parks again what has to wait.
        Parked.objects.filter(consumer=consumer.name).delete()
    services.empty()


def _refill(consumer: Consumer, last: int, progress: Progress) -> int:
    seen, count = 0, 0
    while page := _page(consumer, seen, last):
        deliver_batch(Receipt(0, consumer.name, []), consumer, [envelope for _, envelope in page])
        seen, count = page[-1][0], count + len(page)
        progress(len(page))
    return count


def _page(consumer: Consumer, after: int, last: int) -> list[tuple[int, Envelope]]:
    """Return the next events with their positions; the inbox skips those handled meanwhile."""
    events = Event.objects.filter(name__in=consumer.events, position__gt=after, position__lte=last)
    wanted = undiscarded(consumer.name, events).annotate(
        corrected=corrections.corrected_payload(consumer.name)
    )
    rows = wanted.order_by("position").values("position", "corrected", *_LOGGED_FIELDS)[:BATCH]
    return [
        (row.pop("position"), Envelope(payload=row.pop("corrected"), replayed=True, **row))
        for row in rows
    ]


def _finish(consumer: str) -> int:
    """Delete the previous inbox and dead letters handled now; return the number of failures."""
    now = inbox.generation(consumer)
    Inbox.objects.filter(consumer=consumer, generation__lt=now).delete()
    handled = Inbox.objects.filter(consumer=consumer, generation=now, event_id=OuterRef("event_id"))
    dead_letters = DeadLetter.objects.filter(consumer=consumer)
    done = dead_letters.filter(Exists(handled.exclude(handled_at=None))).values_list(
        "pk", flat=True
    )
    dead_letters.filter(pk__in=list(done)).delete()
    waiting = [Retry.objects, Parked.objects]
    return dead_letters.count() + sum(rows.filter(consumer=consumer).count() for rows in waiting)


def _name(consumer: Consumer) -> str:
    return consumer.name
