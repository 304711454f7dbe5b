"""Subscriptions as operators see them: the events owed to each consumer, and the end of one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from eventbus import registry
from eventbus.consuming import retries
from eventbus.errors import NeedsReason, NotSubscribed, StillSubscribed, SubscriptionEnded
from eventbus.models import Action, Dispatch, Event, Parked, Retry, Subscription
from eventbus.operations.audit_log import record_action
from eventbus.relay.subscriptions import LOCK, exclude_claims
from infra import clock, locks
from infra.transactions import atomic


@dataclass(frozen=True, kw_only=True)
class SubscriptionStatus:
    """One subscription; `code_here` is whether this process has the code for it."""

    consumer: str
    event: str
    since: str
    until: str | None
    code_here: bool


@dataclass(frozen=True, kw_only=True)
class Owed:
    """The deliveries that would not be made any more."""

    subscriptions: int
    dispatched: int
    retries: int
    parked: int


def overview() -> list[SubscriptionStatus]:
    """Return all subscriptions, also ended ones."""
    return [
        SubscriptionStatus(
            consumer=row.consumer,
            event=row.event,
            since=row.since.isoformat(),
            until=row.until.isoformat() if row.until else None,
            code_here=_has_code(row.consumer, row.event),
        )
        for row in Subscription.objects.order_by("consumer", "event")
    ]


def preview(consumer: str, event: str = "") -> Owed:
    """Count the deliveries that an end would stop. Raises NotSubscribed, StillSubscribed."""
    rows = _ending(consumer, event)
    names = [row.event for row in rows]
    return Owed(
        subscriptions=len(rows),
        dispatched=sum(len(ids) for _, ids in _dispatched(consumer, names)),
        retries=len(_named(Retry, consumer, names)),
        parked=len(_named(Parked, consumer, names)),
    )


def end(consumer: str, event: str, actor: str, reason: str) -> Owed:
    """End a consumer's subscription to an event, or to all; events it is owed become dead letters.

    Raises NeedsReason, NotSubscribed, StillSubscribed.
    """
    if not reason.strip():
        raise NeedsReason
    found = preview(consumer, event)
    selection = {"consumer": consumer, "event": event}
    with record_action(
        Action.Operation.END_SUBSCRIPTION,
        actor,
        selection=selection,
        preview=asdict(found),
        reason=reason,
    ) as action:
        action.result = {"dead letters": _end(consumer, event)}
    return found


@atomic
def _end(consumer: str, event: str) -> int:
    # A relay that starts meanwhile would subscribe anew, or claim for the old one.
    locks.acquire([LOCK])
    exclude_claims()
    rows = _ending(consumer, event)
    Subscription.objects.filter(pk__in=[row.pk for row in rows]).update(until=clock.now())
    return _settle(consumer, [row.event for row in rows])


def _settle(consumer: str, names: Sequence[str]) -> int:
    """Make dead letters of events dispatched, parked or retrying; return their number."""
    settled: Counter[UUID] = Counter()
    for dispatch, ids in _dispatched(consumer, names):
        settled.update(ids)
        left = [id for id in dispatch.event_ids if UUID(id) not in settled]
        if left:
            Dispatch.objects.filter(pk=dispatch.pk).update(event_ids=left)
        else:
            dispatch.delete()
    settled.update(_named(Retry, consumer, names))
    parked = _named(Parked, consumer, names)
    settled.update(parked)
    Parked.objects.filter(consumer=consumer, event_id__in=parked).delete()
    for event in Event.objects.filter(pk__in=settled):
        error = SubscriptionEnded(consumer=consumer, event=event.name)
        retries.record_failure(consumer, event.envelope(), error)
    return len(settled)


def _ending(consumer: str, event: str) -> list[Subscription]:
    rows = Subscription.objects.filter(consumer=consumer, until=None)
    found = list(rows.filter(event=event) if event else rows)
    if not found:
        raise NotSubscribed(consumer=consumer, event=f" to {event}" if event else "")
    kept = [row.event for row in found if _has_code(consumer, row.event)]
    if kept:
        raise StillSubscribed(consumer=consumer, events=", ".join(kept))
    return found


def _has_code(consumer: str, event: str) -> bool:
    known = registry.consumers.get(consumer)
    return known is not None and event in known.events


def _dispatched(consumer: str, names: Sequence[str]) -> list[tuple[Dispatch, set[UUID]]]:
    found = []
    for dispatch in Dispatch.objects.filter(consumer=consumer):
        named = Event.objects.filter(pk__in=dispatch.event_ids, name__in=names)
        ids = set(named.values_list("pk", flat=True))
        if ids:
            found.append((dispatch, ids))
    return found


def _named(table: Any, consumer: str, names: Sequence[str]) -> set[UUID]:
    waiting = table.objects.filter(consumer=consumer).values("event_id")
    return set(Event.objects.filter(pk__in=waiting, name__in=names).values_list("pk", flat=True))
