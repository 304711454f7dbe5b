"""Causation trees of events, and the delivery status of an event for each consumer."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast

from eventbus.models import (
    DeadLetter,
    DiscardedDeadLetter,
    Dispatch,
    Event,
    Inbox,
    Parked,
    Retry,
    Subscription,
)

MAX_EVENTS = 500  # in one tree: a request that imports a year is read in pages instead

# Delivery statuses. Pending: in the outbox or in flight.
PENDING, IN_FLIGHT, STARTED, HANDLED = "pending", "in flight", "started", "handled"
RETRYING, DEAD, DISCARDED, PARKED = "retrying", "dead letter", "discarded", "parked"


def as_tree(events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    """Yield (depth, event), each event below its cause, and effects in the order of the log.

    An event whose cause is not among the events has depth 0.
    """
    ordered = sorted(events, key=lambda event: event.position)
    known = {event.id for event in ordered}
    effects: dict[UUID | None, list[Event]] = defaultdict(list)
    for event in ordered:
        effects[event.causation if event.causation in known else None].append(event)
    stack = [(0, event) for event in reversed(effects[None])]
    while stack:
        depth, event = stack.pop()
        yield depth, event
        stack += [(depth + 1, effect) for effect in reversed(effects[event.id])]


def causation_tree(
    *, correlation: UUID | None = None, aggregate: str = ""
) -> list[tuple[int, Event]]:
    """Return (depth, event) for all events of a request, or of an aggregate (`order:0190…`).

    The tree of an aggregate includes the causes and effects of its events, on any aggregate.
    A longer tree is cut to its first 500 events.
    """
    if correlation:
        return list(as_tree(Event.objects.filter(correlation=correlation)[:MAX_EVENTS]))
    return causes_and_effects(Event.objects.filter(aggregate=aggregate)[:MAX_EVENTS])


def causes_and_effects(events: Iterable[Event]) -> list[tuple[int, Event]]:
    """Return the tree of the events with all their causes and effects, up to 500 events."""
    given = list(events)
    found = {event.id: event for event in given}
    _follow(given, found, causes=True)
    _follow(given, found, causes=False)
    return list(as_tree(found.values()))


def _follow(events: list[Event], found: dict[UUID, Event], *, causes: bool) -> None:
    while events and len(found) < MAX_EVENTS:
        if causes:
            near = Q(pk__in={event.causation for event in events} - {None})
        else:
            # There is no index on causation, which would slow down each publish. So an effect
            # under another correlation id is found through its own aggregate, or not at all.
            near = Q(
                causation__in=[event.id for event in events],
                correlation__in={event.correlation for event in events},
            )
        new = Event.objects.filter(near).exclude(pk__in=found)[: MAX_EVENTS - len(found)]
        events = list(new)
        found.update({event.id: event for event in events})


@dataclass(frozen=True, kw_only=True)
class DeliveryStatus:
    """The status of one event for one consumer: pending, handled, retrying, dead letter …."""

    consumer: str
    status: str
    at: dt.datetime | None = None
    failure: Retry | DeadLetter | None = None
    replayed: bool = False

    @property
    def error(self) -> str:
        """Return the last line of the error; it may quote the payload."""
        return last_line(self.failure.error) if self.failure else ""


def last_line(error: str) -> str:
    """Return the last line of a traceback: the exception and its message."""
    return error.strip().rpartition("\n")[2]


def deliveries(event: Event) -> list[DeliveryStatus]:
    """Return the status of an event for each consumer, by consumer name."""
    found = {delivery.consumer: delivery for delivery in _statuses(event)}
    return [found[consumer] for consumer in sorted(found)]


def _statuses(event: Event) -> Iterator[DeliveryStatus]:
    """Yield a status from each table that has one; a later one replaces an earlier one."""
    for row in Subscription.objects.filter(
        event=event.name, since__lte=event.recorded_at, until=None
    ):
        yield DeliveryStatus(consumer=row.consumer, status=PENDING)
    for dispatch in _replayed_dispatches_of(event):
        yield DeliveryStatus(
            consumer=dispatch.consumer, status=IN_FLIGHT, at=dispatch.claimed_at, replayed=True
        )
    of_event = {"event_id": event.id}
    for started in Inbox.objects.filter(**of_event, handled_at=None):
        yield DeliveryStatus(consumer=started.consumer, status=STARTED, at=started.lease_until)
    for discarded in DiscardedDeadLetter.objects.filter(**of_event).select_related("action"):
        at = discarded.action.started_at
        yield DeliveryStatus(consumer=discarded.consumer, status=DISCARDED, at=at)
    for handled in Inbox.objects.filter(**of_event).exclude(handled_at=None):
        yield DeliveryStatus(consumer=handled.consumer, status=HANDLED, at=handled.handled_at)
    for parked in Parked.objects.filter(**of_event, dispatched_at=None):
        yield DeliveryStatus(
            consumer=parked.consumer, status=PARKED, at=parked.parked_at, replayed=parked.replayed
        )
    for retry in Retry.objects.filter(**of_event).exclude(_exists(Parked, Q(dispatched_at=None))):
        yield _failed(retry, RETRYING, retry.next_at, retry.replayed)
    for dead in DeadLetter.objects.filter(**of_event):
        yield _failed(dead, DEAD, dead.died_at, dead.envelope.get("replayed", False))


def _failed(
    failure: Retry | DeadLetter, status: str, at: dt.datetime | None, replayed: bool
) -> DeliveryStatus:
    return DeliveryStatus(
        consumer=failure.consumer, status=status, at=at, failure=failure, replayed=replayed
    )


def delivery_status() -> Case:
    """Return a query expression: the delivery status of rows with `consumer` and `event_id`."""
    handled = Q(handled_at__isnull=False)
    return Case(
        When(_exists(DeadLetter), then=Value(DEAD)),
        When(_exists(Parked, Q(dispatched_at=None)), then=Value(PARKED)),
        When(_exists(Retry), then=Value(RETRYING)),
        When(_exists(Inbox, handled), then=Value(HANDLED)),
        When(_exists(DiscardedDeadLetter), then=Value(DISCARDED)),
        When(_exists(Inbox), then=Value(STARTED)),
        default=Value(PENDING),
    )


def _exists(table: Any, condition: Q | None = None) -> Exists:
    rows = table.objects.filter(consumer=OuterRef("consumer"), event_id=OuterRef("event_id"))
    return Exists(rows.filter(condition) if condition else rows)


def _replayed_dispatches_of(event: Event) -> QuerySet[Dispatch]:
    dispatches = Dispatch.objects.filter(replayed=True).annotate(ids=Cast("event_ids", TextField()))
    return dispatches.filter(ids__contains=str(event.id))
