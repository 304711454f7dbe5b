"""What came of what: events as a tree of causes, and who heard each of them."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from eventbus.models import DeadLetter, Event, Flight, Inbox, Retry, Subscription

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
class Hearing:
    """How a consumer stands with an event: handled, started, retrying, dead, or on its way."""

    consumer: str
    state: str
    at: dt.datetime | None = None
    trouble: Retry | DeadLetter | None = None
    replayed: bool = False

    @property
    def error(self) -> str:
        """Return what went wrong, in a line; empty where nothing did."""
        return last_line(self.trouble.error) if self.trouble else ""


def last_line(error: str) -> str:
    """Return the end of a traceback: the error itself."""
    return error.strip().rpartition("\n")[2]


def hearings(event: Event) -> list[Hearing]:
    """Return how all who are owed an event, or have met it, stand with it."""
    owed = Subscription.objects.filter(event=event.name, since__lte=event.recorded_at, until=None)
    found = {row.consumer: Hearing(consumer=row.consumer, state="on its way") for row in owed}
    for flight in _replayed_flights_with(event):
        found[flight.consumer] = Hearing(
            consumer=flight.consumer, state="on its way", at=flight.claimed_at, replayed=True
        )
    for inbox in Inbox.objects.filter(event_id=event.id):
        state = "handled" if inbox.handled_at else "started"
        found[inbox.consumer] = Hearing(
            consumer=inbox.consumer, state=state, at=inbox.handled_at or inbox.lease_until
        )
    for retry in Retry.objects.filter(event_id=event.id):
        found[retry.consumer] = Hearing(
            consumer=retry.consumer,
            state="retrying",
            at=retry.next_at,
            trouble=retry,
            replayed=retry.replayed,
        )
    for dead in DeadLetter.objects.filter(event_id=event.id):
        found[dead.consumer] = Hearing(
            consumer=dead.consumer,
            state="dead",
            at=dead.died_at,
            trouble=dead,
            replayed=dead.envelope.get("replayed", False),
        )
    return [found[consumer] for consumer in sorted(found)]


def _replayed_flights_with(event: Event) -> QuerySet[Flight]:
    flights = Flight.objects.filter(replayed=True).annotate(ids=Cast("event_ids", TextField()))
    return flights.filter(ids__contains=str(event.id))
