"""The relay: from the outbox to the consumers' queues, at least once.

Many may run side by side: each row is claimed by one (SKIP LOCKED). A claim turns outbox rows
into flights and commits before anything is sent, so a relay may die anywhere.
"""

import datetime as dt
import threading
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import structlog
from django.db import Error, close_old_connections, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from eventbus import claims, clock, inbox, kick, outbox, subscriptions, sweeper
from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.corrections import corrected
from eventbus.errors import BrokerAway
from eventbus.failpoints import reach
from eventbus.floor import Floor
from eventbus.models import Event, Flight, Retry, Scheduled, Trouble
from eventbus.pulse import Pulse
from eventbus.transports import Parcel, Transport

log = structlog.get_logger(__name__)

_SHORTEST = 0.01  # seconds between two polls of a busy relay
_THOROUGH = 0.1  # seconds between two looks at all that may be due, besides the outbox


class Relay:
    """One relay. `run` it in a thread or a process; `turn` is one round of its work."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.pulse = Pulse()
        self._floor = Floor()
        self._stopping = threading.Event()
        self._away = False
        self._looked = 0.0
        self._swept = 0.0

    def run(self) -> None:
        """Turn until stopped, resting while there is nothing to do; no trouble ends it."""
        prepared, pause = False, _SHORTEST
        with kick.listening(by_thread=self.transport.in_process) as wait:
            while not self._stopping.is_set():
                self.pulse.beat()
                try:
                    if not prepared:
                        self.prepare()
                        prepared = True
                    busy = self._round()
                except Exception as trouble:
                    self._report(trouble)
                    self._stopping.wait(conf().BROKER_PAUSE)
                    continue
                pause = _SHORTEST if busy else min(pause * 2, conf().IDLE)
                if not busy and not self._stopping.is_set():
                    wait(pause)
        self.transport.close()
        self.pulse.stop()

    def _round(self) -> int:
        """Poll the outbox; now and then look at everything else, too."""
        _tune_session()
        sent = 0 if self._away else self._send(self._claim())
        now = time.monotonic()
        if now - self._looked < _THOROUGH:
            return sent
        self._looked = now
        sent += self.turn()
        self._away = False
        if now - self._swept >= conf().TICK_EVERY:
            self._swept = now
            close_old_connections()
            sweeper.sweep(self.transport, subscriptions.queues())
        return sent

    def _report(self, trouble: Exception) -> None:
        if isinstance(trouble, BrokerAway):
            self._away = True
            log.warning("broker away", reason=str(trouble))
        elif isinstance(trouble, Error):
            log.warning("database away", reason=str(trouble))
            connection.close()
        else:
            log.error("relay stumbled", exc_info=trouble)

    def stop(self) -> None:
        """End after the round under way."""
        self._stopping.set()
        kick.woken.set()

    def prepare(self) -> None:
        """Write the subscriptions down; in one process, take up what the last one left."""
        subscriptions.sync()
        if self.transport.in_process:
            inbox.end_leases()
            Flight.objects.update(claimed_at=None, confirmed_at=None)

    def turn(self) -> int:
        """Do one whole round and return how many messages went. Raises BrokerAway."""
        now = clock.now()
        overdue = now - dt.timedelta(seconds=conf().SEND_DEADLINE)
        scheduled, retries, unsent, probes = _waiting(now, overdue)
        if scheduled:
            self._wake_scheduled(now)
        if retries:
            self._wake_retries(now)
        # Messages already claimed go first, so that a broker that is away is probed with them.
        sent = self._send(self._unsent(now, overdue)) if unsent or retries else 0
        if probes:
            sent += self._send(self._probes(now))
        return sent or self._send(self._claim())

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
        Flight.objects.bulk_create(
            Flight(
                consumer=row.consumer,
                event_ids=[str(row.event_id)],
                retry=True,
                replayed=row.replayed,
            )
            for row in rows
        )
        Retry.objects.filter(pk__in=[row.pk for row in rows]).update(next_at=None)

    @transaction.atomic
    def _unsent(self, now: dt.datetime, overdue: dt.datetime) -> list[Parcel]:
        unsent = Flight.objects.filter(
            Q(claimed_at=None) | Q(claimed_at__lt=overdue), confirmed_at=None
        ).exclude(consumer__in=claims.troubled())
        rows = list(unsent.order_by("pk").select_for_update(skip_locked=True)[: conf().CLAIM])
        Flight.objects.filter(pk__in=[flight.pk for flight in rows]).update(claimed_at=now)
        return _parcels(rows)

    @transaction.atomic
    def _probes(self, now: dt.datetime) -> list[Parcel]:
        """Let one event through to each consumer in trouble whose time for a probe has come."""
        due = Trouble.objects.filter(failures__gte=conf().PROBE_AFTER, probe_at__lte=now)
        probes = []
        for trouble in due.select_for_update(skip_locked=True):
            trouble.probe_at = now + dt.timedelta(seconds=conf().PROBE_EVERY)
            trouble.save()
            held = Flight.objects.filter(consumer=trouble.consumer, confirmed_at=None)
            first = held.order_by("pk").select_for_update(skip_locked=True).first()
            if first:
                probes.append(_first_event_of(first, now))
        return _parcels(probes)

    def _claim(self) -> list[Parcel]:
        claim = claims.take(self._floor.lowest())
        self._floor.note(ran_dry=claim.rows < conf().CLAIM)
        return claim.parcels

    def _send(self, parcels: Sequence[Parcel]) -> int:
        if not parcels:
            return 0
        reach("claimed-not-sent")
        confirmed: list[int] = []
        try:
            confirmed = self.transport.send(parcels)
            reach("sent-not-confirmed")
        finally:
            Flight.objects.filter(pk__in=confirmed).update(confirmed_at=Now())
            unsent = {parcel.flight for parcel in parcels} - set(confirmed)
            if unsent:
                Flight.objects.filter(pk__in=unsent).update(claimed_at=None)
        return len(confirmed)


def _parcels(flights: Sequence[Flight]) -> list[Parcel]:
    edited = corrected(flights)
    logged = Event.objects.in_bulk([UUID(id) for flight in flights for id in flight.event_ids])
    wire = {str(id): to_cloudevent(event.envelope()) for id, event in logged.items()}
    return [
        claims.parcel(
            f, [wire[id] | edited.get((f.consumer, id), {}) | _mark(f) for id in f.event_ids]
        )
        for f in flights
    ]


def _mark(flight: Flight) -> dict[str, Any]:
    return {"replayed": True} if flight.replayed else {}


def _tune_session() -> None:
    """Save the relay two flushes between commit and effect, and a plan for each claim.

    A claim lost in a crash of the server is claimed again, and the inbox absorbs what was sent. An
    effect cannot outlive the claim it came from: its own commit flushes all that was before it.
    A plan made while the outbox was empty would read all of a long one, if it might.
    """
    session: Any = connection.connection
    if connection.vendor == "postgresql" and not getattr(session, "_tuned", False):
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off; SET enable_seqscan TO off")
        connection.connection._tuned = True


def _first_event_of(flight: Flight, now: dt.datetime) -> Flight:
    """Take the first event out of a flight: a probe risks one."""
    if len(flight.event_ids) > 1:
        rest = flight.event_ids[1:]
        Flight.objects.create(
            consumer=flight.consumer,
            event_ids=rest,
            retry=flight.retry,
            replayed=flight.replayed,
        )
        flight.event_ids = flight.event_ids[:1]
    flight.claimed_at, flight.retry = now, True
    flight.save()
    return flight


def _waiting(now: dt.datetime, overdue: dt.datetime) -> tuple[bool, ...]:
    """Look at what may be due in one round trip: most looks find nothing."""
    at, late = (connection.ops.adapt_datetimefield_value(time) for time in (now, overdue))
    many = conf().PROBE_AFTER
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [at, at, late, many, many, at])
        return tuple(bool(found) for found in cursor.fetchone())


_WAITING = """
SELECT EXISTS (SELECT 1 FROM eventbus_scheduled WHERE due_at <= %s),
       EXISTS (SELECT 1 FROM eventbus_retry WHERE next_at <= %s),
       EXISTS (SELECT 1 FROM eventbus_flight
               WHERE confirmed_at IS NULL AND (claimed_at IS NULL OR claimed_at < %s)
                 AND consumer NOT IN
                     (SELECT consumer FROM eventbus_trouble WHERE failures >= %s)),
       EXISTS (SELECT 1 FROM eventbus_trouble WHERE failures >= %s AND probe_at <= %s)
"""
