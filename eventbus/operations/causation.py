"""What came of what: events as a tree of causes, and who heard each of them."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, Exists, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast

from eventbus.models import DeadLetter, Discarded, Dispatch, Event, Inbox, Retry, Subscription

MOST = 500  # events of one story: a request that imports a year is read in pages instead


def tree(events: Iterable[Event]) -> Iterator[tuple[int, Event]]:
    """Put each event under its cause: depth and event, effects in the order of the log.

    An event whose cause is not among them stands at depth 0.
    """
    facts = sorted(events, key=lambda event: event.position)
    known = {fact.id for fact in facts}
    effects: dict[UUID | None, list[Event]] = defaultdict(list)
    for fact in facts:
        effects[fact.causation if fact.causation in known else None].append(fact)
    waiting = [(0, fact) for fact in reversed(effects[None])]
    while waiting:
        depth, fact = waiting.pop()
        yield depth, fact
        waiting += [(depth + 1, effect) for effect in reversed(effects[fact.id])]


def story(*, correlation: UUID | None = None, aggregate: str = "") -> list[tuple[int, Event]]:
    """Return what one request caused, or all that befell an aggregate (`order:0190…`).

    The story of an aggregate tells also what led to its events and what they led to, whatever
    that is about. Of a longer story it returns the first 500 events.
    """
    if correlation:
        return list(tree(Event.objects.filter(correlation=correlation)[:MOST]))
    return lineage(Event.objects.filter(aggregate=aggregate)[:MOST])


def lineage(events: Iterable[Event]) -> list[tuple[int, Event]]:
    """Return events with what led to them and what they led to, a generation at a time."""
    own = list(events)
    found = {event.id: event for event in own}
    _follow(own, found, causes=True)
    _follow(own, found, causes=False)
    return list(tree(found.values()))


def _follow(events: list[Event], found: dict[UUID, Event], *, causes: bool) -> None:
    while events and len(found) < MOST:
        if causes:
            near = Q(pk__in={event.causation for event in events} - {None})
        else:
            # An answer may belong to another request than its question: then it is found by its
            # own aggregate, or not at all. There is no index on causation, it would cost all.
            near = Q(
                causation__in=[event.id for event in events],
                correlation__in={event.correlation for event in events},
            )
        rest = Event.objects.filter(near).exclude(pk__in=found)[: MOST - len(found)]
        events = list(rest)
        found.update({event.id: event for event in events})


@dataclass(frozen=True, kw_only=True)
class DeliveryStatus:
    """How a consumer stands with an event.

    On its way, started, handled, retrying, dead, or discarded by an operator.
    """

    consumer: str
    state: str
    at: dt.datetime | None = None
    trouble: Retry | DeadLetter | None = None
    replayed: bool = False

    @property
    def error(self) -> str:
        """Return what went wrong, in a line; it may quote what is in the event."""
        return last_line(self.trouble.error) if self.trouble else ""


def last_line(error: str) -> str:
    """Return the end of a traceback: the error itself."""
    return error.strip().rpartition("\n")[2]


def deliveries(event: Event) -> list[DeliveryStatus]:
    """Return how all who are owed an event, or have met it, stand with it."""
    found = {hearing.consumer: hearing for hearing in _standings(event)}
    return [found[consumer] for consumer in sorted(found)]


def _standings(event: Event) -> Iterator[DeliveryStatus]:
    """Tell what each table knows; what comes later holds."""
    for row in Subscription.objects.filter(
        event=event.name, since__lte=event.recorded_at, until=None
    ):
        yield DeliveryStatus(consumer=row.consumer, state="on its way")
    for dispatch in _replayed_dispatches_with(event):
        yield DeliveryStatus(
            consumer=dispatch.consumer, state="on its way", at=dispatch.claimed_at, replayed=True
        )
    of_event = {"event_id": event.id}
    for begun in Inbox.objects.filter(**of_event, handled_at=None):
        yield DeliveryStatus(consumer=begun.consumer, state="started", at=begun.lease_until)
    for given_up in Discarded.objects.filter(**of_event).select_related("action"):
        at = given_up.action.started_at
        yield DeliveryStatus(consumer=given_up.consumer, state="discarded", at=at)
    for done in Inbox.objects.filter(**of_event).exclude(handled_at=None):
        yield DeliveryStatus(consumer=done.consumer, state="handled", at=done.handled_at)
    for retry in Retry.objects.filter(**of_event):
        yield _troubled(retry, "retrying", retry.next_at, retry.replayed)
    for dead in DeadLetter.objects.filter(**of_event):
        yield _troubled(dead, "dead", dead.died_at, dead.envelope.get("replayed", False))


def _troubled(
    trouble: Retry | DeadLetter, state: str, at: dt.datetime | None, replayed: bool
) -> DeliveryStatus:
    return DeliveryStatus(
        consumer=trouble.consumer, state=state, at=at, trouble=trouble, replayed=replayed
    )


def delivery_status() -> Case:
    """Return, for a query on rows with a consumer and an event, how that one stands with it."""
    handled = Q(handled_at__isnull=False)
    return Case(
        When(_among(DeadLetter), then=Value("dead")),
        When(_among(Retry), then=Value("retrying")),
        When(_among(Inbox, handled), then=Value("handled")),
        When(_among(Discarded), then=Value("discarded")),
        When(_among(Inbox), then=Value("started")),
        default=Value("on its way"),
    )


def _among(table: Any, such: Q | None = None) -> Exists:
    rows = table.objects.filter(consumer=OuterRef("consumer"), event_id=OuterRef("event_id"))
    return Exists(rows.filter(such) if such else rows)


def _replayed_dispatches_with(event: Event) -> QuerySet[Dispatch]:
    dispatches = Dispatch.objects.filter(replayed=True).annotate(ids=Cast("event_ids", TextField()))
    return dispatches.filter(ids__contains=str(event.id))
