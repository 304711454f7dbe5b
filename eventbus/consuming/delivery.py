"""What a worker does with a message: each event's effect exactly once, or its failure stored."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from eventbus import registry
from eventbus.cloudevents import from_cloudevent
from eventbus.consuming import inbox, retries
from eventbus.errors import OutcomeUnknown, UnknownConsumer
from eventbus.events import Envelope
from eventbus.models import ConsumerHealth, DeadLetter, Dispatch, Retry
from eventbus.origin import caused_by, caused_by_many
from eventbus.registry import Consumer
from infra import postgres
from infra.errors import TryLater
from infra.failpoints import reach

Handle = Callable[[Consumer, Envelope], None]


def deliver(
    dispatch: int, name: str, events: Sequence[dict[str, Any]], suspect: bool = False
) -> None:
    """Hand events (CloudEvents JSON) to a consumer and delete the dispatch.

    A suspect message was delivered before, and may be what ended its worker: its events run one
    by one, each counted first. On return every outcome is stored. An exception means that none
    could be (the database is away): the message must come again.
    """
    envelopes = [from_cloudevent(event) for event in events]
    consumer = registry.consumers.get(name)
    reach("received-not-begun")
    if consumer is None:
        for envelope in envelopes:
            retries.record_failure(name, envelope, UnknownConsumer(consumer=name))
        _finish(dispatch, None, [])
        return
    handle = _call_outside if consumer.external else _in_transaction
    if suspect:
        _deliver_each(dispatch, consumer, envelopes, partial(_counted, handle))
    elif consumer.external:
        _deliver_each(dispatch, consumer, envelopes, handle)
    else:
        deliver_batch(dispatch, consumer, envelopes)


def deliver_batch(dispatch: int, consumer: Consumer, envelopes: Sequence[Envelope]) -> None:
    """Handle all in one transaction; where that fails, each in one of its own."""
    try:
        with transaction.atomic():
            with _without_savepoints():
                _handle(consumer, envelopes)
            _finish(dispatch, consumer, envelopes)
    except Exception as error:
        if len(envelopes) > 1:
            _deliver_each(dispatch, consumer, envelopes, _in_transaction)
        else:
            retries.record_failure(consumer.name, envelopes[0], error)
            _finish(dispatch, None, [])


def _deliver_each(
    dispatch: int, consumer: Consumer, envelopes: Sequence[Envelope], handle: Handle
) -> None:
    handled = []
    for envelope in envelopes:
        try:
            handle(consumer, envelope)
            handled.append(envelope)
        except Exception as error:
            retries.record_failure(consumer.name, envelope, error)
    _finish(dispatch, consumer, handled)


def _counted(handle: Handle, consumer: Consumer, envelope: Envelope) -> None:
    """Count before the handler runs: one that kills its worker cannot count afterwards."""
    retries.count_delivery(consumer.name, envelope)
    handle(consumer, envelope)
    Retry.objects.filter(consumer=consumer.name, event_id=envelope.id).delete()


def _in_transaction(consumer: Consumer, envelope: Envelope) -> None:
    with transaction.atomic():
        _handle(consumer, [envelope])


def _handle(consumer: Consumer, envelopes: Sequence[Envelope]) -> None:
    decoded = _Arguments(consumer)
    keys = {key for envelope in envelopes for key in decoded.keys_of(envelope)}
    marked = inbox.mark_handled(consumer.name, [envelope.id for envelope in envelopes], keys)
    marked -= inbox.drop_archived(consumer.name, (e for e in envelopes if e.id in marked))
    fresh = [envelope for envelope in envelopes if envelope.id in marked]
    if consumer.item_type:
        _call_with_all(consumer, [consumer.item(decoded.of(envelope)) for envelope in fresh])
    else:
        for envelope in fresh:
            with caused_by(envelope, consumer.name):
                consumer.handle(**decoded.of(envelope))
    reach("handled-not-committed")


def _call_with_all(consumer: Consumer, items: list[Any]) -> None:
    if items:
        with caused_by_many(consumer.name):
            consumer.handle(items)


class _Arguments:
    """Decodes each event of a message once: for its keys, or when the handler is called."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._decoded: dict[UUID, dict[str, Any]] = {}

    def of(self, envelope: Envelope) -> dict[str, Any]:
        if envelope.id not in self._decoded:
            self._decoded[envelope.id] = self._consumer.arguments(envelope)
        return self._decoded[envelope.id]

    def keys_of(self, envelope: Envelope) -> list[str]:
        # Without a key only unhandled events are decoded: a duplicate cannot fail by its payload.
        return self._consumer.keys(self.of(envelope) if self._consumer.key else {})


@contextmanager
def _without_savepoints() -> Iterator[None]:
    """Let the services of a batch join its transaction without a savepoint each.

    They cost two round trips, and more than 64 are slow. A batch is all or nothing anyway; where
    a service needs its savepoint, the batch fails and is redone one by one, with savepoints.
    """
    features: Any = connection.features
    uses, features.uses_savepoints = features.uses_savepoints, False
    try:
        yield
    finally:
        features.uses_savepoints = uses


def _call_outside(consumer: Consumer, envelope: Envelope) -> None:
    """Prepare, call, record: no transaction is open while the other side thinks."""
    with transaction.atomic():
        state, until = inbox.start(consumer.name, envelope.id)
        gone = inbox.drop_archived(consumer.name, [envelope] if state == "fresh" else [])
    if state == "done" or gone:
        return
    if state == "busy":
        raise TryLater(seconds=inbox.left(until), reason="another delivery is calling")
    if state == "again" and not consumer.idempotent:
        raise OutcomeUnknown(consumer=consumer.name, reason=f"event {envelope.id}")
    with caused_by(envelope, consumer.name):
        try:
            record = consumer.handle(**consumer.arguments(envelope))
        except Exception:
            inbox.forget(consumer.name, envelope.id, until)
            raise
        # Cut off here, the event stays started: only a idempotent consumer calls again.
        with transaction.atomic():
            if inbox.finish(consumer.name, envelope.id) and record:
                record()
            reach("handled-not-committed")


def _finish(dispatch: int, consumer: Consumer | None, handled: Sequence[Envelope]) -> None:
    """Delete the dispatch, and what was written about troubles that are over."""
    if consumer is None or not handled:
        Dispatch.objects.filter(pk=dispatch).delete()
        return
    ids = [envelope.id for envelope in handled]
    if connection.vendor == "postgresql":
        with postgres.cursor() as cursor:
            cursor.execute(_LANDED, [consumer.name] * 2 + [ids, consumer.name, ids, dispatch])
        return
    ConsumerHealth.objects.filter(pk=consumer.name).delete()
    for table in (Retry, DeadLetter):
        table._default_manager.filter(consumer=consumer.name, event_id__in=ids).delete()
    Dispatch.objects.filter(pk=dispatch).delete()


# One statement: another copy of the message may have left a retry, or have been given up.
_LANDED = """
WITH well AS (DELETE FROM eventbus_consumer_health WHERE consumer = %s),
     retried AS (DELETE FROM eventbus_retry WHERE consumer = %s AND event_id = ANY(%s)),
     risen AS (DELETE FROM eventbus_dead_letter WHERE consumer = %s AND event_id = ANY(%s))
DELETE FROM eventbus_dispatch WHERE id = %s
"""
