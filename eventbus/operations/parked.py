"""Parked events for operators: the streams that wait, and the events that they wait for."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Min

from eventbus.consuming import pauses, streams
from eventbus.errors import NeedsReason
from eventbus.models import Action, Event, Parked
from eventbus.operations import causation
from eventbus.operations.audit_log import record_action
from eventbus.publishing import wakeup
from infra.transactions import atomic


@dataclass(frozen=True, kw_only=True)
class WaitingStream:
    """A stream of an ordered consumer whose next event is missing, and that event's status."""

    consumer: str
    aggregate: str
    events: int
    since: dt.datetime | None
    missing: Event | None
    status: str

    @property
    def waits_for(self) -> str:
        """Return the missing event with its status, in words."""
        if self.missing is None:
            return "nothing any more: a relay sends its events within seconds"
        return f"{self.missing.name} {self.missing.pk} ({self.status})"

    def as_json(self) -> dict[str, Any]:
        """Return the stream for a machine."""
        return {
            "consumer": self.consumer,
            "aggregate": self.aggregate,
            "events": self.events,
            "since": self.since and self.since.isoformat(),
            "missing": self.missing and str(self.missing.pk),
            "name": self.missing and self.missing.name,
            "status": self.status,
        }


def waiting(name: str = "") -> list[WaitingStream]:
    """Return the streams with parked events, of a consumer or a context, oldest first."""
    rows = Parked.objects.filter(dispatched_at=None)
    if name:
        rows = rows.filter(pauses.of(name))
    found = rows.values_list("consumer", "aggregate").annotate(since=Min("parked_at"))
    ordered = found.order_by("since", "consumer", "aggregate")
    return [of_stream(consumer, aggregate) for consumer, aggregate, _ in ordered]


def of_stream(consumer: str, aggregate: str) -> WaitingStream:
    """Return the state of one stream; 0 events if none of it waits."""
    waits = Parked.objects.filter(consumer=consumer, aggregate=aggregate, dispatched_at=None)
    counted = waits.aggregate(n=Count("pk"), since=Min("parked_at"))
    missing = streams.missing(consumer, aggregate)
    event = Event.objects.get(pk=missing) if missing else None
    statuses = causation.deliveries(event) if event else []
    status = next((found.status for found in statuses if found.consumer == consumer), "")
    return WaitingStream(
        consumer=consumer,
        aggregate=aggregate,
        events=counted["n"],
        since=counted["since"],
        missing=event,
        status=status,
    )


def skip(consumer: str, aggregate: str, actor: str, reason: str) -> WaitingStream:
    """Let a stream go on without the event that it waits for; return its state afterwards.

    The missing event stays where it is. If it is handled later, it is handled out of order.
    Raises NeedsReason, NotParked.
    """
    if not reason.strip():
        raise NeedsReason
    selection = {"consumer": consumer, "aggregate": aggregate}
    with record_action(Action.Operation.SKIP, actor, selection=selection, reason=reason) as action:
        event = atomic(streams.skip)(consumer, aggregate)
        left = of_stream(consumer, aggregate)
        action.result = {"skipped": str(event), "still parked": left.events}
    wakeup.wake_relays()
    return left
