"""Who is owed which news, and from when on: a new consumer starts now, never with history."""

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field

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


@dataclass
class Directory:
    """Who is owed an event, as read from the table: also what other processes' code hears."""

    _listeners: dict[str, list[tuple[str, dt.datetime]]] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read the table again."""
        found = defaultdict(list)
        for row in Subscription.objects.filter(until=None).order_by("consumer"):
            found[row.event].append((row.consumer, row.since))
        self._listeners = dict(found)

    def queues(self) -> list[str]:
        """Return the queues of all who hear anything."""
        names = {name for listeners in self._listeners.values() for name, _ in listeners}
        return sorted({name.partition(".")[0] for name in names})

    def owed(self, event: str, recorded_at: dt.datetime) -> list[str]:
        """Return the consumers that are owed this event."""
        listeners = self._listeners.get(event, ())
        return [consumer for consumer, since in listeners if recorded_at >= since]
