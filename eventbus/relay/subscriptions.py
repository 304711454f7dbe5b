"""Subscriptions: the time from which a consumer is owed an event; a new one gets no history."""

import datetime as dt
import time
from collections import defaultdict

from django.db import connection

from eventbus import registry
from eventbus.models import Dispatch, Subscription
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
    stored = {(s.consumer, s.event): s for s in Subscription.objects.all()}
    declared = sorted((c.name, event) for c in registry.consumers.values() for event in c.events)
    new = [pair for pair in declared if pair not in stored]
    ended = [stored[pair].pk for pair in declared if pair in stored and stored[pair].until]
    if not (new or ended):
        return
    exclude_claims()
    since = _next_time()
    Subscription.objects.bulk_create(
        Subscription(consumer=consumer, event=event, since=since) for consumer, event in new
    )
    Subscription.objects.filter(pk__in=ended).update(since=since, until=None)


def exclude_claims() -> None:
    """Wait for running claims, and let none begin until the commit."""
    # A claim that does not see the rows of this transaction would skip an event that is owed. It
    # writes dispatches, and takes its snapshot once it has the table's lock. SQLite has one writer.
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {Dispatch._meta.db_table} IN SHARE MODE")


def _next_time() -> dt.datetime:
    """Return a time after that of every event claimed so far."""
    if connection.vendor == "sqlite":
        time.sleep(0.001)  # the unit of its clock: an event claimed just now may have this time
    return clock.now()


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
