"""Deliveries to external consumers: start, call, record, with a lease in between."""

import datetime as dt
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from uuid import UUID

from eventbus.consuming import inbox, survival
from eventbus.consuming.handlers import run
from eventbus.consuming.survival import DeliveryTransaction, current_id
from eventbus.errors import BadConsumer, OutcomeUnknown
from eventbus.events import Envelope
from eventbus.origin import caused_by
from eventbus.registry import Consumer
from infra.errors import TryLater
from infra.failpoints import reach
from infra.transactions import atomic, repeat_conflicts


def call_external(consumer: Consumer, envelope: Envelope) -> bool:
    """Start, call, record: no transaction is open during the call to the other system.

    Returns True: its events are not ordered, so none is parked.
    """
    state, until, archived = _start_call(consumer, envelope)
    if state == "done" or archived:
        return True
    if state == "busy":
        raise TryLater(seconds=inbox.seconds_left(until), reason="another delivery is calling")
    if state == "again" and not consumer.idempotent:
        raise OutcomeUnknown(consumer=consumer.name, reason=f"event {envelope.id}")
    with caused_by(envelope, consumer.name):
        try:
            record = run(consumer, **consumer.arguments(envelope))
        except Exception:
            survival.roll_back_left_open()
            inbox.undo_start(consumer.name, envelope.id, until)
            raise
        # The call was made, so from here on an error leaves the event started.
        survival.must_be_idle(consumer.name)
        if record is not None and not callable(record):
            problem = f"it returned a {type(record).__name__}, not a function or None"
            raise BadConsumer(consumer=consumer.name, problem=problem)
        # Killed here, the event stays started: only an idempotent consumer calls again.
        repeat_conflicts(partial(_record_call, consumer, envelope, record))
    return True


@atomic
def _start_call(consumer: Consumer, envelope: Envelope) -> tuple[str, dt.datetime, set[UUID]]:
    state, until = inbox.start(consumer.name, envelope.id)
    fresh = [envelope] if state == "fresh" else []
    return state, until, inbox.drop_archived(consumer.name, fresh)


def _record_call(
    consumer: Consumer, envelope: Envelope, record: Callable[[], object] | None
) -> None:
    current = DeliveryTransaction(consumer.name)
    with current.atomic():
        if inbox.finish(consumer.name, envelope.id) and record:
            current.id = current_id()
            copy_context().run(record)
            current.must_be_open()
            current.must_be(current_id())
        reach("handled-not-committed")
