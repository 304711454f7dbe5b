"""The relay: from the outbox to the consumers' queues, at least once.

Many may run side by side: each row is claimed by one (SKIP LOCKED). A claim turns outbox rows
into flights and commits before anything is sent, so a relay may die anywhere.
"""

import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from uuid import UUID

import structlog
from django.db import Error, close_old_connections, connection, transaction
from django.db.models import Q

from eventbus import clock, inbox, kick, outbox, subscriptions
from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.errors import BrokerAway
from eventbus.models import Event, Flight, Outbox, Retry, Scheduled
from eventbus.pulse import Pulse
from eventbus.transports import Parcel, Transport

log = structlog.get_logger(__name__)

_SHORTEST = 0.01  # seconds between two polls of a busy relay


class Relay:
    """One relay. `run` it in a thread or a process; `turn` is one round of its work."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.pulse = Pulse()
        self._directory = subscriptions.Directory()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Turn until stopped, resting while there is nothing to do; no trouble ends it."""
        prepared, pause = False, _SHORTEST
        while not self._stopping.is_set():
            self.pulse.beat()
            try:
                if not prepared:
                    self.prepare()
                    prepared = True
                busy = self.turn()
            except Exception as trouble:
                self._report(trouble)
                self._stopping.wait(conf().BROKER_PAUSE)
                continue
            pause = _SHORTEST if busy else min(pause * 2, conf().IDLE)
            if not busy:
                close_old_connections()
                kick.wait(pause)
        self.transport.close()
        self.pulse.stop()

    def _report(self, trouble: Exception) -> None:
        if isinstance(trouble, BrokerAway):
            log.warning("broker away", reason=str(trouble))
        elif isinstance(trouble, Error):
            log.warning("database away", reason=str(trouble))
            connection.close()
        else:
            log.error("relay stumbled", exc_info=trouble)

    def stop(self) -> None:
        """End after the round under way."""
        self._stopping.set()
        kick.relay()

    def prepare(self) -> None:
        """Write the subscriptions down; in one process, take up what the last one left."""
        subscriptions.sync()
        if self.transport.in_process:
            inbox.end_leases()
            Flight.objects.update(claimed_at=None, confirmed_at=None)

    def turn(self) -> int:
        """Do one round and return how many messages went. Raises BrokerAway."""
        now = clock.now()
        overdue = now - dt.timedelta(seconds=conf().SEND_DEADLINE)
        outbox, scheduled, retries, unsent = _waiting(now, overdue)
        if scheduled:
            self._wake_scheduled(now)
        if retries:
            self._wake_retries(now)
        # Messages already claimed go first, so that a broker that is away is probed with them.
        sent = self._send(self._unsent(now, overdue)) if unsent or retries else 0
        return sent or (self._send(self._claim(now)) if outbox or scheduled else 0)

    @transaction.atomic
    def _wake_scheduled(self, now: dt.datetime) -> None:
        due = Scheduled.objects.filter(due_at__lte=now).order_by("due_at")
        rows = list(due.select_for_update(skip_locked=True)[: conf().CLAIM])
        if rows:
            fields = [f.name for f in Scheduled._meta.concrete_fields if f.name != "due_at"]
            outbox.record([{name: getattr(row, name) for name in fields} for row in rows])
            Scheduled.objects.filter(pk__in=[row.pk for row in rows]).delete()

    @transaction.atomic
    def _wake_retries(self, now: dt.datetime) -> None:
        due = Retry.objects.filter(next_at__lte=now).order_by("next_at")
        rows = list(due.select_for_update(skip_locked=True)[: conf().CLAIM])
        if rows:
            Flight.objects.bulk_create(
                Flight(consumer=row.consumer, event_ids=[str(row.event_id)]) for row in rows
            )
            Retry.objects.filter(pk__in=[row.pk for row in rows]).update(next_at=None)

    @transaction.atomic
    def _unsent(self, now: dt.datetime, overdue: dt.datetime) -> list[Flight]:
        unsent = Flight.objects.filter(
            Q(claimed_at=None) | Q(claimed_at__lt=overdue), confirmed_at=None
        )
        rows = unsent.order_by("pk").select_for_update(skip_locked=True)[: conf().CLAIM]
        flights = list(rows)
        Flight.objects.filter(pk__in=[f.pk for f in flights]).update(claimed_at=now)
        return flights

    @transaction.atomic
    def _claim(self, now: dt.datetime) -> list[Flight]:
        rows = list(
            Outbox.objects.order_by("pk").select_for_update(skip_locked=True)[: conf().CLAIM]
        )
        if not rows:
            return []
        self._directory.refresh()
        for_whom: dict[str, list[UUID]] = defaultdict(list)
        found = Event.objects.in_bulk([row.event_id for row in rows])
        for row in rows:
            event = found[row.event_id]
            for consumer in self._directory.owed(event.name, event.recorded_at):
                for_whom[consumer].append(event.id)
        flights = Flight.objects.bulk_create(
            Flight(consumer=consumer, event_ids=[str(id) for id in ids], claimed_at=now)
            for consumer, all_ids in for_whom.items()
            for ids in _batches(all_ids, conf().BATCH)
        )
        Outbox.objects.filter(pk__in=[row.pk for row in rows]).delete()
        return flights

    def _send(self, flights: Sequence[Flight]) -> int:
        if not flights:
            return 0
        confirmed: list[int] = []
        try:
            confirmed = self.transport.send(self._parcels(flights))
        finally:
            Flight.objects.filter(pk__in=confirmed).update(confirmed_at=clock.now())
            unsent = {f.pk for f in flights} - set(confirmed)
            Flight.objects.filter(pk__in=unsent).update(claimed_at=None)
        return len(confirmed)

    def _parcels(self, flights: Sequence[Flight]) -> list[Parcel]:
        ids = {UUID(id) for flight in flights for id in flight.event_ids}
        wire = {e.id: to_cloudevent(e.envelope()) for e in Event.objects.filter(pk__in=ids)}
        return [Parcel(f.pk, f.consumer, [wire[UUID(id)] for id in f.event_ids]) for f in flights]


def _waiting(now: dt.datetime, overdue: dt.datetime) -> tuple[bool, bool, bool, bool]:
    """Look at all tables in one round trip: most polls find nothing."""
    moments = [connection.ops.adapt_datetimefield_value(at) for at in (now, now, overdue)]
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, moments)
        outbox, scheduled, retries, unsent = cursor.fetchone()
    return bool(outbox), bool(scheduled), bool(retries), bool(unsent)


_WAITING = """
SELECT EXISTS (SELECT 1 FROM eventbus_outbox),
       EXISTS (SELECT 1 FROM eventbus_scheduled WHERE due_at <= %s),
       EXISTS (SELECT 1 FROM eventbus_retry WHERE next_at <= %s),
       EXISTS (SELECT 1 FROM eventbus_flight
               WHERE confirmed_at IS NULL AND (claimed_at IS NULL OR claimed_at < %s))
"""


def _batches(ids: list[UUID], size: int) -> Iterator[list[UUID]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))
