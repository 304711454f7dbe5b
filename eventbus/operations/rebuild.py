"""Emptying a read model and filling it again from the log, while news keeps arriving.

In one transaction, with every delivery to the context's consumers kept out: the inbox begins a new
generation, and the context forgets everything. From the commit on two write into that one inbox:
the refill, which reads the log up to where it ends now, and live deliveries. Whoever comes second
with an event is turned away by its inbox row, so nothing is counted twice. Nothing is missed:

- What was committed before the refill began to read is in the log it reads.
- What is committed later has an outbox row of its own, also where its position is lower than
  that of events the refill has already passed: it is delivered live, under the new generation.
- A delivery that was running ended before the context was emptied, so its event is in the log; one
  that waited for the lock runs after, and finds the new generation.
"""

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from django.db import transaction
from django.db.models import Exists, Max, OuterRef

from eventbus import registry
from eventbus.consuming import corrections, inbox
from eventbus.consuming.delivery import deliver_batch
from eventbus.errors import CannotRebuild
from eventbus.events import Envelope
from eventbus.models import DeadLetter, Event, Inbox, Retry, Subscription
from eventbus.operations import retention
from eventbus.operations.audit_log import record_action, record_progress
from eventbus.operations.replay import undiscarded
from eventbus.registry import Consumer
from infra import locks

BATCH = 500  # events in one transaction: 200 take a third longer, 1000 hardly less

_AS_LOGGED = [f.name for f in fields(Envelope) if f.name not in ("payload", "replayed")]

Progress = Callable[[int], object]
BEGINNING = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What came of a rebuild; `failed` are among the retries or the dead letters."""

    events: int
    seconds: float
    failed: int

    @property
    def rate(self) -> float:
        """Return events per second."""
        return self.events / self.seconds if self.seconds else 0.0


def consumers_of(context: str) -> list[Consumer]:
    """Return the consumers that fill a context. Raises CannotRebuild."""
    found = sorted((c for c in registry.consumers.values() if c.context == context), key=_name)
    stubborn = [c.name for c in found if c.external or not c.replayable]
    if not found:
        raise CannotRebuild(context=context, reason="nobody in it hears anything")
    if stubborn:
        raise CannotRebuild(context=context, reason=f"not replayable: {', '.join(stubborn)}")
    if not hasattr(import_module(f"{context}.services"), "empty"):
        raise CannotRebuild(context=context, reason=f"{context}/services.py offers no empty()")
    return found


def preview(context: str) -> dict[str, int]:
    """Count what each consumer would be told. Raises CannotRebuild, InArchive."""
    found = {c.name: Event.objects.filter(name__in=c.hears).count() for c in consumers_of(context)}
    retention.must_be_whole()
    return found


def rebuild(context: str, actor: str, progress: Progress = lambda n: None) -> Rebuilt:
    """Empty a context and fill it from the whole log; cut off, begin again.

    Also news from before its consumers listened: from now on they are owed all of the log.
    Raises CannotRebuild, InArchive, LogBusy.
    """
    consumers, began = consumers_of(context), time.monotonic()
    found = preview(context)
    chosen, total = {"context": context}, sum(found.values())
    with (
        retention.whole(),
        record_action("rebuilt", actor, chosen=chosen, preview=found, total=total) as action,
    ):

        def step(n: int) -> None:
            record_progress(action, n)
            progress(n)

        _empty(context, consumers)
        last = Event.objects.aggregate(last=Max("position"))["last"] or 0
        events = sum(_refill(consumer, last, step) for consumer in consumers)
        failed = sum(_close(consumer.name) for consumer in consumers)
        done = Rebuilt(events=events, seconds=time.monotonic() - began, failed=failed)
        action.result = {"events": events, "seconds": round(done.seconds, 3), "failed": failed}
    return done


@transaction.atomic
def _empty(context: str, consumers: Sequence[Consumer]) -> None:
    services: Any = import_module(f"{context}.services")
    for consumer in consumers:
        locks.hold_alone(consumer.name)
    for consumer in consumers:
        rows = Subscription.objects.filter(consumer=consumer.name)
        rows.update(generation=inbox.generation(consumer.name) + 1)
        rows.filter(until=None).update(since=BEGINNING)
    services.empty()


def _refill(consumer: Consumer, last: int, progress: Progress) -> int:
    seen, told = 0, 0
    while page := _page(consumer, seen, last):
        deliver_batch(0, consumer, [envelope for _, envelope in page])
        seen, told = page[-1][0], told + len(page)
        progress(len(page))
    return told


def _page(consumer: Consumer, after: int, last: int) -> list[tuple[int, Envelope]]:
    """Read the log, with positions. What live deliveries handled meanwhile the inbox knows."""
    events = Event.objects.filter(name__in=consumer.hears, position__gt=after, position__lte=last)
    owed = undiscarded(consumer.name, events).annotate(
        told=corrections.corrected_payload(consumer.name)
    )
    rows = owed.order_by("position").values("position", "told", *_AS_LOGGED)[:BATCH]
    return [
        (row.pop("position"), Envelope(payload=row.pop("told"), replayed=True, **row))
        for row in rows
    ]


def _close(consumer: str) -> int:
    """Drop the former inbox, and letters that are answered now; return how many are not."""
    now = inbox.generation(consumer)
    Inbox.objects.filter(consumer=consumer, generation__lt=now).delete()
    handled = Inbox.objects.filter(consumer=consumer, generation=now, event_id=OuterRef("event_id"))
    letters = DeadLetter.objects.filter(consumer=consumer)
    answered = letters.filter(Exists(handled.exclude(handled_at=None))).values_list("pk", flat=True)
    letters.filter(pk__in=list(answered)).delete()
    return letters.count() + Retry.objects.filter(consumer=consumer).count()


def _name(consumer: Consumer) -> str:
    return consumer.name
