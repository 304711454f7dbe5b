"""Who is owed which news, and from when on: a new consumer starts now, never with history."""

import datetime as dt
from collections import defaultdict

from django.db import transaction

from eventbus import registry
from eventbus.models import DeadLetter, Dispatch, Inbox, Retry, Subscription
from infra import clock, locks


@transaction.atomic
def sync() -> None:
    """Write down the consumers of this code: after each migrate, and when a relay starts.

    A consumer that is gone is owed nothing more; its rows stay, for the record.
    """
    locks.hold(["eventbus.relay.subscriptions"])
    _rename()
    wanted = {(c.name, event) for c in registry.consumers.values() for event in c.events}
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
        if (
            consumer.renamed_from
            and Subscription.objects.filter(consumer=consumer.renamed_from).exists()
        ):
            for table in (Subscription, Dispatch, Retry, DeadLetter, Inbox):
                table._default_manager.filter(consumer=consumer.renamed_from).update(
                    consumer=consumer.name
                )


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
