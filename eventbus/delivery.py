"""What a worker does with a message: each event's effect exactly once, or its failure stored."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from eventbus import failures, inbox, locks, registry
from eventbus.cloudevents import from_cloudevent
from eventbus.errors import OutcomeUnknown, TryLater, UnknownConsumer
from eventbus.events import Envelope
from eventbus.models import Flight, Retry
from eventbus.origin import because_of
from eventbus.registry import Consumer


def deliver(flight: int, name: str, events: Sequence[dict[str, Any]]) -> None:
    """Hand events (CloudEvents JSON) to a consumer and delete the flight.

    On return every outcome is stored. An exception means that none could be (the database is
    away): the message must come again.
    """
    envelopes = [from_cloudevent(event) for event in events]
    consumer = registry.consumers.get(name)
    if consumer is None:
        for envelope in envelopes:
            failures.note(name, envelope, UnknownConsumer(consumer=name))
        _land(flight)
    elif consumer.outside:
        _each(flight, consumer, envelopes, _call_outside)
    else:
        try:
            _together(flight, consumer, envelopes)
        except Exception as error:
            if len(envelopes) == 1:
                failures.note(name, envelopes[0], error)
                _land(flight)
            else:
                _each(flight, consumer, envelopes, _alone)


def _together(flight: int, consumer: Consumer, envelopes: Sequence[Envelope]) -> None:
    with transaction.atomic():
        _handle(consumer, envelopes)
        _land(flight)


def _alone(consumer: Consumer, envelope: Envelope) -> None:
    with transaction.atomic():
        _handle(consumer, [envelope])


def _handle(consumer: Consumer, envelopes: Sequence[Envelope]) -> None:
    locks.hold(key for envelope in envelopes for key in consumer.keys(envelope))
    fresh = inbox.take(consumer.name, [envelope.id for envelope in envelopes])
    for envelope in envelopes:
        if envelope.id in fresh:
            with because_of(envelope, consumer.name):
                consumer.handle(**consumer.arguments(envelope))
    _forget_failures(consumer, envelopes)


def _each(flight: int, consumer: Consumer, envelopes: Sequence[Envelope], handle: Any) -> None:
    for envelope in envelopes:
        try:
            handle(consumer, envelope)
        except Exception as error:
            failures.note(consumer.name, envelope, error)
    _land(flight)


def _call_outside(consumer: Consumer, envelope: Envelope) -> None:
    """Prepare, call, record: no transaction is open while the other side thinks."""
    with transaction.atomic():
        state, until = inbox.start(consumer.name, envelope.id)
    if state == "busy":
        raise TryLater(seconds=inbox.left(until), reason="another delivery is calling")
    if state == "again" and not consumer.repeatable:
        raise OutcomeUnknown(consumer=consumer.name, reason=f"event {envelope.id}")
    if state != "done":
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
    _forget_failures(consumer, [envelope])


def _forget_failures(consumer: Consumer, envelopes: Sequence[Envelope]) -> None:
    Retry.objects.filter(
        consumer=consumer.name, event_id__in=[envelope.id for envelope in envelopes]
    ).delete()


def _land(flight: int) -> None:
    Flight.objects.filter(pk=flight).delete()
