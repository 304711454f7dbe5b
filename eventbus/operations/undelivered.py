"""Published events that are not handled: their states, and sending them again by name.

Sending again is safe: the inbox ignores an event that is handled. Unsent messages need none of it.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from eventbus.consuming import pauses
from eventbus.models import Action, Dispatch, Event, Outbox, Parked, Retry, Subscription
from eventbus.operations.audit_log import record_action, record_progress, step
from eventbus.publishing import wakeup
from eventbus.relay import claim
from infra import clock

BATCH = 500  # rows in one transaction

Progress = Callable[[int], object]


class State(StrEnum):
    """The states of an event that a consumer has not handled."""

    OUTBOX = "outbox"
    PAUSED = "paused"
    UNHEALTHY = "unhealthy"
    UNSENT = "unsent"
    UNCONFIRMED = "unconfirmed"
    SENT = "sent"
    RETRY = "retry"
    PARKED = "parked"


WAITS_FOR = {
    State.OUTBOX: "a relay: manage.py runrelay",
    State.PAUSED: "the end of the pause: manage.py resumeconsumer",
    State.UNHEALTHY: "a success of its consumer, which is probed with one event at a time",
    State.UNSENT: "a relay: manage.py runrelay",
    State.UNCONFIRMED: "the broker; after SEND_DEADLINE it is sent again",
    State.SENT: "a worker; if the broker lost it, it is sent again after LOST_AFTER",
    State.RETRY: "the time of its next attempt",
    State.PARKED: "an earlier event of its stream: manage.py parkedevents",
}
SENDABLE = (State.UNCONFIRMED, State.SENT, State.RETRY)


@dataclass(frozen=True, kw_only=True)
class Undelivered:
    """A filter; `name` is a consumer or a context, `older_than` are seconds in the state."""

    name: str = ""
    event: str = ""
    state: str = ""
    older_than: float = 0

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are set, for the audit record."""
        return {key: value for key, value in asdict(self).items() if value}


@dataclass(kw_only=True)
class Group:
    """The undelivered events of one consumer in one state; for the outbox of all consumers."""

    state: State
    consumer: str
    rows: list[int] = field(default_factory=list)
    events: int = 0
    oldest: dt.datetime | None = None

    @property
    def waits_for(self) -> str:
        """Return the next step that the events wait for."""
        return WAITS_FOR[self.state]

    def add(self, row: int, recorded: Iterable[dt.datetime], events: int) -> None:
        """Count a row and its events."""
        self.rows.append(row)
        self.events += events
        self.oldest = min(filter(None, [self.oldest, *recorded]), default=None)


def groups(wanted: Undelivered) -> list[Group]:
    """Return the undelivered events, by state and consumer."""
    found: dict[tuple[State, str], Group] = {}
    for state, consumer, row, ids, since in _rows(wanted):
        if wanted.state in ("", state) and _is_old(since, wanted):
            group = found.setdefault((state, consumer), Group(state=state, consumer=consumer))
            group.add(row, _recorded(ids), len(ids))
    order = list(State)
    return sorted(found.values(), key=lambda group: (order.index(group.state), group.consumer))


def send_again(
    wanted: Undelivered, actor: str, progress: Progress = lambda n: None
) -> dict[str, int]:
    """Send messages again, and try failed deliveries now; return the number of each."""
    found = groups(wanted)
    dispatches = [pk for g in found if g.state in SENDABLE[:2] for pk in g.rows]
    retries = [pk for g in found if g.state == State.RETRY for pk in g.rows]
    preview = {f"{group.state} {group.consumer}".strip(): group.events for group in found}
    return send_rows(dispatches, retries, actor, wanted.as_json(), preview, progress)


def send_rows(
    dispatches: list[int],
    retries: list[int],
    actor: str,
    selection: dict[str, Any],
    preview: dict[str, int] | None = None,
    progress: Progress = lambda n: None,
) -> dict[str, int]:
    """Make dispatches unsent and retries due, and wake the relays; return how many of each."""
    total = len(dispatches) + len(retries)
    with record_action(
        Action.Operation.SEND_AGAIN, actor, selection=selection, preview=preview, total=total
    ) as action:
        action.result = {"sent again": 0, "tried now": 0}
        for label, ids, send in (
            ("sent again", dispatches, _make_unsent),
            ("tried now", retries, _make_due),
        ):
            for start in range(0, len(ids), BATCH):
                page = ids[start : start + BATCH]
                step(action, partial(_send_page, action, label, page, send))
                progress(len(page))
    wakeup.wake_relays()
    return dict(action.result)


def _send_page(
    action: Action, label: str, ids: list[int], send: Callable[[list[int]], int]
) -> None:
    action.result[label] += send(ids)
    record_progress(action, len(ids))


def _make_unsent(ids: list[int]) -> int:
    # One that was handled meanwhile has no row any more. Not marked as suspect: that it was sent
    # again says nothing about its events.
    sent = Dispatch.objects.filter(pk__in=ids, claimed_at__isnull=False)
    return sent.update(claimed_at=None, confirmed_at=None)


def _make_due(ids: list[int]) -> int:
    # Empty: a dispatch of it is under way already.
    return Retry.objects.filter(pk__in=ids, next_at__isnull=False).update(next_at=clock.now())


Row = tuple[State, str, int, list[str], dt.datetime | None]


def _rows(wanted: Undelivered) -> Iterator[Row]:
    """Yield state, consumer, key, events, and since when it is in the state (None: unknown)."""
    for row in _waiting(wanted).iterator():
        yield State.OUTBOX, "", row.pk, [str(row.event_id)], None
    mine = pauses.of(wanted.name) if wanted.name else None
    dispatches = Dispatch.objects.filter(mine) if mine else Dispatch.objects.all()
    paused, unhealthy = pauses.names(), claim.unhealthy_consumers()
    for dispatch in dispatches.order_by("pk").iterator():
        if _has_event(dispatch, wanted.event):
            state, since = _state(dispatch, paused, unhealthy)
            yield state, dispatch.consumer, dispatch.pk, dispatch.event_ids, since
    for retry in _of(Retry.objects.exclude(next_at=None), wanted):
        yield State.RETRY, retry.consumer, retry.pk, [str(retry.event_id)], retry.failed_at
    for row in _of(Parked.objects.filter(dispatched_at=None), wanted):
        yield State.PARKED, row.consumer, row.pk, [str(row.event_id)], row.parked_at


def _of(rows: QuerySet[Any], wanted: Undelivered) -> Iterator[Any]:
    if wanted.name:
        rows = rows.filter(pauses.of(wanted.name))
    if wanted.event:
        rows = rows.filter(event_id__in=Event.objects.filter(name=wanted.event).values("pk"))
    return rows.order_by("pk").iterator()


def _waiting(wanted: Undelivered) -> QuerySet[Outbox]:
    events = Event.objects.filter(name=wanted.event) if wanted.event else Event.objects.all()
    if wanted.name:
        subscribed = Subscription.objects.filter(pauses.of(wanted.name), until=None)
        events = events.filter(name__in=subscribed.values("event"))
    return Outbox.objects.filter(event_id__in=events.values("pk")).order_by("pk")


def _state(
    dispatch: Dispatch, paused: set[str], unhealthy: set[str]
) -> tuple[State, dt.datetime | None]:
    if dispatch.confirmed_at:
        return State.SENT, dispatch.confirmed_at
    if paused & {dispatch.consumer, dispatch.consumer.partition(".")[0]}:
        return State.PAUSED, None
    if dispatch.consumer in unhealthy:
        return State.UNHEALTHY, None
    if dispatch.claimed_at:
        return State.UNCONFIRMED, dispatch.claimed_at
    return State.UNSENT, None


def _has_event(dispatch: Dispatch, name: str) -> bool:
    events = Event.objects.filter(pk__in=dispatch.event_ids, name=name)
    return not name or events.exists()


def _recorded(ids: list[str]) -> Iterator[dt.datetime]:
    # A version 7 UUID begins with the milliseconds since 1970, so no event is read for its age.
    for id in ids[:1]:
        yield dt.datetime.fromtimestamp((UUID(id).int >> 80) / 1000, dt.UTC)


def _is_old(since: dt.datetime | None, wanted: Undelivered) -> bool:
    # Without a time it is shown at any age: it is sent without an operator.
    return since is None or since <= clock.now() - dt.timedelta(seconds=wanted.older_than)
