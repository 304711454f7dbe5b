"""Pause and resume: an operator holds the deliveries of a consumer or a context."""

import datetime as dt
from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Min

from eventbus import registry
from eventbus.consuming import pauses
from eventbus.errors import NeedsReason, NotPaused, UnknownConsumer
from eventbus.models import Action, Dispatch, Event, Parked, Pause, Retry, Subscription
from eventbus.operations.audit_log import record_action


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The events that wait for a consumer or a context, and when the oldest was recorded."""

    events: int
    oldest: dt.datetime | None

    def __str__(self) -> str:
        since = f", the oldest since {self.oldest:%F %T}" if self.oldest else ""
        return f"{self.events:,} events wait{since}"


def backlog(name: str) -> Backlog:
    """Count the events that are dispatched, parked, or wait for a retry."""
    ids: set[UUID] = set()
    events = 0
    for listed in Dispatch.objects.filter(pauses.of(name)).values_list("event_ids", flat=True):
        events += len(listed)
        ids.update(map(UUID, listed[:1]))
    waiting = Retry.objects.filter(pauses.of(name), next_at__isnull=False)
    events += waiting.count()
    parked = Parked.objects.filter(pauses.of(name), dispatched_at=None)
    events += parked.count()
    for rows in (waiting, parked):
        ids.update(rows.order_by("event_id").values_list("event_id", flat=True)[:1])
    oldest = Event.objects.filter(pk__in=ids).aggregate(at=Min("recorded_at"))["at"]
    return Backlog(events=events, oldest=oldest)


def paused() -> list[tuple[Pause, Backlog]]:
    """Return the pauses, each with its backlog."""
    return [(pause, backlog(pause.name)) for pause in Pause.objects.order_by("name")]


def pause(name: str, actor: str, reason: str) -> Backlog:
    """Hold a consumer, or all of a context. Raises NeedsReason, UnknownConsumer.

    Within a second no further delivery begins; those that run end.
    """
    if not reason.strip():
        raise NeedsReason
    if not _exists(name):
        raise UnknownConsumer(consumer=name)
    found = backlog(name)
    with _recorded(Action.Operation.PAUSE, name, actor, reason, found):
        Pause.objects.update_or_create(name=name, defaults={"reason": reason, "actor": actor})
    pauses.forget()
    return found


def resume(name: str, actor: str) -> Backlog:
    """End a pause, and return the backlog that is delivered now. Raises NotPaused."""
    if not Pause.objects.filter(pk=name).exists():
        raise NotPaused(name=name)
    found = backlog(name)
    with _recorded(Action.Operation.RESUME, name, actor, "", found):
        Pause.objects.filter(pk=name).delete()
    pauses.forget()
    return found


def _recorded(
    operation: Action.Operation, name: str, actor: str, reason: str, found: Backlog
) -> AbstractContextManager[Action]:
    preview = {"events": found.events}
    return record_action(operation, actor, selection={"name": name}, preview=preview, reason=reason)


def _exists(name: str) -> bool:
    known = {*registry.consumers, *(c.context for c in registry.consumers.values())}
    return name in known or Subscription.objects.filter(pauses.of(name), until=None).exists()
