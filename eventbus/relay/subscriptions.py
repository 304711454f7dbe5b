"""Subscriptions: the time from which a consumer is owed an event; a new one gets no history."""

import datetime as dt
from collections import defaultdict

from django.db import transaction

from eventbus import registry
from eventbus.models import DeadLetter, Dispatch, Inbox, Retry, Subscription
from infra import clock, locks


@transaction.atomic
def sync() -> None:
    """Store the subscriptions of this code: after each migrate, and when a relay starts.

    A removed consumer is owed nothing more; its rows stay, for the record.
    """
    locks.acquire(["eventbus.relay.subscriptions"])
    _rename()
    declared = {(c.name, event) for c in registry.consumers.values() for event in c.events}
    stored = {(s.consumer, s.event): s for s in Subscription.objects.all()}
    now = clock.now()
    Subscription.objects.bulk_create(
        Subscription(consumer=consumer, event=event, since=now)
        for consumer, event in sorted(declared - set(stored))
    )
    for pair, row in stored.items():
        if pair not in declared and row.until is None:
            Subscription.objects.filter(pk=row.pk).update(until=now)
        elif pair in declared and row.until is not None:
            Subscription.objects.filter(pk=row.pk).update(since=now, until=None)


def _rename() -> None:
    for consumer in registry.consumers.values():
        former = consumer.renamed_from
        if former and Subscription.objects.filter(consumer=former).exists():
            for table in (Subscription, Dispatch, Retry, DeadLetter, Inbox):
                table._default_manager.filter(consumer=former).update(consumer=consumer.name)


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
