"""What a worker does with a message: each event's effect exactly once, or its failure stored."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.db import connection, transaction

from eventbus import failures, inbox, locks, registry
from eventbus.cloudevents import from_cloudevent
from eventbus.errors import OutcomeUnknown, TryLater, UnknownConsumer
from eventbus.events import Envelope
from eventbus.failpoints import reach
from eventbus.models import Flight, Retry
from eventbus.origin import because_of
from eventbus.registry import Consumer

Handle = Callable[[Consumer, Envelope], None]


def deliver(
    flight: int, name: str, events: Sequence[dict[str, Any]], suspect: bool = False
) -> None:
    """Hand events (CloudEvents JSON) to a consumer and delete the flight.

    A suspect message was delivered before, and may be what ended its worker: its events run one
    by one, each counted first. On return every outcome is stored. An exception means that none
    could be (the database is away): the message must come again.
    """
    envelopes = [from_cloudevent(event) for event in events]
    consumer = registry.consumers.get(name)
    reach("received-not-begun")
    if consumer is None:
        for envelope in envelopes:
            failures.note(name, envelope, UnknownConsumer(consumer=name))
        _land(flight)
        return
    handle = _call_outside if consumer.outside else _in_transaction
    if suspect:
        _each(flight, consumer, envelopes, partial(_counted, handle))
    elif consumer.outside:
        _each(flight, consumer, envelopes, handle)
    else:
        _together(flight, consumer, envelopes)


def _together(flight: int, consumer: Consumer, envelopes: Sequence[Envelope]) -> None:
    """Handle all in one transaction; where that fails, each in one of its own."""
    try:
        with transaction.atomic():
            _handle(consumer, envelopes)
            _land(flight, well=consumer)
    except Exception as error:
        if len(envelopes) > 1:
            _each(flight, consumer, envelopes, _in_transaction)
        else:
            failures.note(consumer.name, envelopes[0], error)
            _land(flight)


def _each(flight: int, consumer: Consumer, envelopes: Sequence[Envelope], handle: Handle) -> None:
    well = None
    for envelope in envelopes:
        try:
            handle(consumer, envelope)
            well = consumer
        except Exception as error:
            failures.note(consumer.name, envelope, error)
    _land(flight, well=well)


def _counted(handle: Handle, consumer: Consumer, envelope: Envelope) -> None:
    """Count before the handler runs: one that kills its worker cannot count afterwards."""
    failures.count_delivery(consumer.name, envelope)
    handle(consumer, envelope)
    Retry.objects.filter(consumer=consumer.name, event_id=envelope.id).delete()


def _in_transaction(consumer: Consumer, envelope: Envelope) -> None:
    with transaction.atomic():
        _handle(consumer, [envelope])


def _handle(consumer: Consumer, envelopes: Sequence[Envelope]) -> None:
    locks.hold_as(consumer.name, (key for e in envelopes for key in consumer.keys(e)))
    fresh = inbox.take(consumer.name, [envelope.id for envelope in envelopes])
    for envelope in envelopes:
        if envelope.id in fresh:
            with because_of(envelope, consumer.name):
                consumer.handle(**consumer.arguments(envelope))
    reach("handled-not-committed")


def _call_outside(consumer: Consumer, envelope: Envelope) -> None:
    """Prepare, call, record: no transaction is open while the other side thinks."""
    with transaction.atomic():
        state, until = inbox.start(consumer.name, envelope.id)
    if state == "done":
        return
    if state == "busy":
        raise TryLater(seconds=inbox.left(until), reason="another delivery is calling")
    if state == "again" and not consumer.repeatable:
        raise OutcomeUnknown(consumer=consumer.name, reason=f"event {envelope.id}")
    with because_of(envelope, consumer.name):
        try:
            record = consumer.handle(**consumer.arguments(envelope))
        except Exception:
            inbox.forget(consumer.name, envelope.id, until)
            raise
        # Cut off here, the event stays started: only a repeatable consumer calls again.
        with transaction.atomic():
            if inbox.finish(consumer.name, envelope.id) and record:
                record()
            reach("handled-not-committed")


def _land(flight: int, well: Consumer | None = None) -> None:
    """Delete the flight; a consumer that has done well is in no trouble any more."""
    if well is None:
        Flight.objects.filter(pk=flight).delete()
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"WITH well AS ({_WELL}) {_LANDED}", [well.name, flight])
        else:
            cursor.execute(_WELL, [well.name])
            cursor.execute(_LANDED, [flight])


_WELL = "DELETE FROM eventbus_trouble WHERE consumer = %s"
_LANDED = "DELETE FROM eventbus_flight WHERE id = %s"
