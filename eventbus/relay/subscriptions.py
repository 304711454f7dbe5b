"""Subscriptions: the time from which a consumer is owed an event; a new one gets no history."""

import datetime as dt
from collections import defaultdict

from eventbus import registry
from eventbus.models import Subscription
from infra import clock, locks
from infra.transactions import atomic

LOCK = "eventbus.relay.subscriptions"


@atomic
def sync() -> None:
    """Add the subscriptions of this code: after each migrate, and when a relay starts.

    It ends none: this process may lack a context, or be older than others. An operator ends those
    of removed code (`manage.py endsubscription`). One that comes back after that starts anew.
    """
    locks.acquire([LOCK])
    now = clock.now()
    stored = {(s.consumer, s.event): s for s in Subscription.objects.all()}
    declared = sorted((c.name, event) for c in registry.consumers.values() for event in c.events)
    Subscription.objects.bulk_create(
        Subscription(consumer=consumer, event=event, since=now)
        for consumer, event in declared
        if (consumer, event) not in stored
    )
    ended = [stored[pair].pk for pair in declared if pair in stored and stored[pair].until]
    Subscription.objects.filter(pk__in=ended).update(since=now, until=None)


def active() -> dict[str, list[tuple[str, dt.datetime]]]:
    """Return (consumer, since) by event, also for consumers of other processes' code."""
    by_event = defaultdict(list)
    for row in Subscription.objects.filter(until=None).order_by("consumer"):
        by_event[row.event].append((row.consumer, row.since))
    return by_event


def queues() -> list[str]:
    """Return the queues of all contexts with subscriptions."""
    names = Subscription.objects.filter(until=None).values_list("consumer", flat=True)
    return sorted({name.partition(".")[0] for name in names})
