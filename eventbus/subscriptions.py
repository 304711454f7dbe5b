"""Who is owed which news, and from when on: a new consumer starts now, never with history."""

import datetime as dt
from collections import defaultdict

from django.db import transaction

from eventbus import clock, locks, registry
from eventbus.models import DeadLetter, Flight, Inbox, Retry, Subscription


@transaction.atomic
def sync() -> None:
    """Write down the consumers of this code: after each migrate, and when a relay starts.

    A consumer that is gone is owed nothing more; its rows stay, for the record.
    """
    locks.hold(["eventbus.subscriptions"])
    _rename()
    wanted = {(c.name, event) for c in registry.consumers.values() for event in c.hears}
    known = {(s.consumer, s.event): s for s in Subscription.objects.all()}
    now = clock.now()
    Subscription.objects.bulk_create(
        Subscription(consumer=consumer, event=event, since=now)
        for consumer, event in sorted(wanted - set(known))
    )
    for pair, row in known.items():
        if pair not in wanted and row.until is None:
            Subscription.objects.filter(pk=row.pk).update(until=now)
        elif pair in wanted and row.until is not None:
            Subscription.objects.filter(pk=row.pk).update(since=now, until=None)


def _rename() -> None:
    for consumer in registry.consumers.values():
        if consumer.was and Subscription.objects.filter(consumer=consumer.was).exists():
            for table in (Subscription, Flight, Retry, DeadLetter, Inbox):
                table._default_manager.filter(consumer=consumer.was).update(consumer=consumer.name)


def directory() -> dict[str, list[tuple[str, dt.datetime]]]:
    """Return who is owed which event, and since when: also what other processes' code hears."""
    found = defaultdict(list)
    for row in Subscription.objects.filter(until=None).order_by("consumer"):
        found[row.event].append((row.consumer, row.since))
    return found


def queues() -> list[str]:
    """Return the queues of all who hear anything."""
    names = Subscription.objects.filter(until=None).values_list("consumer", flat=True)
    return sorted({name.partition(".")[0] for name in names})
