"""Delivery of a message: each event's effect exactly once, or its failure recorded."""

import datetime as dt
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from decimal import localcontext
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection

from eventbus import registry
from eventbus.cloudevents import from_cloudevent
from eventbus.consuming import inbox, pauses, retries, survival
from eventbus.consuming.savepoints import Savepoints
from eventbus.consuming.survival import DeliveryTransaction, current_id
from eventbus.errors import (
    BadConsumer,
    HandlerExited,
    OutcomeUnknown,
)
from eventbus.events import Envelope
from eventbus.models import ConsumerHealth, DeadLetter, Dispatch, Retry
from eventbus.origin import caused_by, caused_by_many
from eventbus.registry import Consumer
from infra import postgres
from infra.errors import TryLater
from infra.failpoints import reach
from infra.transactions import atomic, repeat_conflicts

Handle = Callable[[Consumer, Envelope], None]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The dispatch that a message came from; 0 for none, as in a rebuild.

    The relay commits asynchronously, so after a crash of the server a number may come again: the
    outcome of an old message deletes a dispatch only of its own consumer and events.
    """

    dispatch: int
    consumer: str
    event_ids: list[str]


def deliver(
    dispatch: int, name: str, events: Sequence[dict[str, Any]], suspect: bool = False
) -> None:
    """Deliver events (CloudEvents JSON) to a consumer and delete the dispatch.

    A suspect message was delivered before, and may have killed its worker: its events run one by
    one, each counted first. On return every outcome is recorded. An exception means that none
    could be (the database is unreachable): the message must be delivered again.
    """
    # An event that is twice in a message is marked once, and both copies would be handled.
    envelopes = list({event["id"]: from_cloudevent(event) for event in events}.values())
    consumer = registry.consumers.get(name)
    reach("received-not-begun")
    receipt = Receipt(dispatch, name, [str(envelope.id) for envelope in envelopes])
    if _put_back_if_paused(receipt, envelopes):
        return
    if not all(consumer and envelope.name in consumer.events for envelope in envelopes):
        envelopes = retries.postpone_unknown(name, envelopes)
    if consumer is None or not envelopes:
        _finish(receipt, [])
        return
    handle = _call_external if consumer.external else _handle_in_transaction
    if suspect:
        _deliver_each(receipt, consumer, envelopes, partial(_handle_counted, handle))
    elif consumer.external:
        _deliver_each(receipt, consumer, envelopes, handle)
    else:
        deliver_batch(receipt, consumer, envelopes)


def deliver_batch(receipt: Receipt, consumer: Consumer, envelopes: Sequence[Envelope]) -> None:
    """Handle all events in one transaction; if that fails, each in one of its own."""
    current, savepoints = DeliveryTransaction(consumer.name), Savepoints(consumer.name)

    def handle_together() -> None:
        nonlocal current, savepoints
        current, savepoints = DeliveryTransaction(consumer.name), Savepoints(consumer.name)
        with current.atomic():
            with savepoints.omitted():
                _handle(current, consumer, envelopes)
            current.must_be_open()
            current.must_be(_finish(receipt, envelopes))

    try:
        repeat_conflicts(handle_together)
    except Exception as error:
        _reset_session(receipt)
        # Before the mark, an earlier handler's session settings may be what fails.
        final = len(envelopes) == 1 and not savepoints.missed and current.marked is not None
        failed = [e for e in envelopes if final or e.id in current.unclear]
        for envelope in failed:
            retries.record_failure(consumer.name, envelope, error)
        others = [envelope for envelope in envelopes if envelope not in failed]
        _deliver_each(receipt, consumer, others, _handle_in_transaction)


def _deliver_each(
    receipt: Receipt, consumer: Consumer, envelopes: Sequence[Envelope], handle: Handle
) -> None:
    handled = []
    for index, envelope in enumerate(envelopes):
        if _put_back_if_paused(receipt, envelopes[index:]):
            receipt = replace(receipt, dispatch=0)  # its row stays, for the rest
            break
        try:
            handle(consumer, envelope)
            handled.append(envelope)
        except Exception as error:
            _reset_session(receipt)
            retries.record_failure(consumer.name, envelope, error)
    _finish(receipt, handled)


def _put_back_if_paused(receipt: Receipt, left: Sequence[Envelope]) -> bool:
    if not pauses.is_paused(receipt.consumer):
        return False
    ids = [str(envelope.id) for envelope in left]
    return pauses.put_back(receipt.dispatch, receipt.consumer, receipt.event_ids, ids)


def _reset_session(receipt: Receipt) -> None:
    """Undo the rest of a failed handler: session settings, temporary tables, locks."""
    # A rebuild has no dispatch, and its session holds the lock that keeps archiving out.
    if receipt.dispatch and connection.vendor == "postgresql" and not connection.in_atomic_block:
        connection.close()


def _handle_counted(handle: Handle, consumer: Consumer, envelope: Envelope) -> None:
    # Counted before the handler runs: one that kills its worker cannot count afterwards.
    retries.count_delivery(consumer.name, envelope)
    handle(consumer, envelope)
    Retry.objects.filter(consumer=consumer.name, event_id=envelope.id).delete()


def _handle_in_transaction(consumer: Consumer, envelope: Envelope) -> None:
    def handle_alone() -> None:
        current = DeliveryTransaction(consumer.name)
        with current.atomic():
            _handle(current, consumer, [envelope])
            current.must_be_open()
            current.must_be(current_id())

    repeat_conflicts(handle_alone)


def _handle(
    current: DeliveryTransaction, consumer: Consumer, envelopes: Sequence[Envelope]
) -> None:
    decoded = _Arguments(consumer)
    keys = {key for envelope in envelopes for key in decoded.keys_of(envelope)}
    ids = [envelope.id for envelope in envelopes]
    marked, current.id = inbox.mark_handled(consumer.name, ids, keys)
    marked -= inbox.drop_archived(consumer.name, (e for e in envelopes if e.id in marked))
    current.marked = marked
    fresh = [envelope for envelope in envelopes if envelope.id in marked]
    if consumer.item_type:
        items = [consumer.item(decoded.of(envelope)) for envelope in fresh]
        if items:
            with caused_by_many(consumer.name):
                _run(consumer, items)
    else:
        for envelope in fresh:
            with caused_by(envelope, consumer.name), current.run(envelope.id):
                _run(consumer, **decoded.of(envelope))
    reach("handled-not-committed")


def _run(consumer: Consumer, *arguments: Any, **named: Any) -> Any:
    """Call the handler. A coroutine or generator that it returns would never run."""
    with _exits_contained(consumer), localcontext():
        # In a context of its own, so that a language, time zone or decimal precision that it sets
        # ends with it.
        result = copy_context().run(consumer.handle, *arguments, **named)
    if inspect.isawaitable(result) or inspect.isgenerator(result):
        if inspect.iscoroutine(result):
            result.close()  # or Python warns that it was never awaited
        raise BadConsumer(consumer=consumer.name, problem=f"{registry.NEVER_RUN}: it returned one")
    return result


@contextmanager
def _exits_contained(consumer: Consumer) -> Iterator[None]:
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        # A signal ends a worker's child by these two, in its main thread; a handler that does so
        # by itself ends the child, too: its message comes again, and is counted.
        main = threading.current_thread() is threading.main_thread()
        if main and isinstance(error, SystemExit | KeyboardInterrupt):
            raise
        raise HandlerExited(consumer=consumer.name, error=type(error).__name__) from error


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


def _call_external(consumer: Consumer, envelope: Envelope) -> None:
    """Start, call, record: no transaction is open during the call to the other system."""
    state, until, archived = _start_call(consumer, envelope)
    if state == "done" or archived:
        return
    if state == "busy":
        raise TryLater(seconds=inbox.seconds_left(until), reason="another delivery is calling")
    if state == "again" and not consumer.idempotent:
        raise OutcomeUnknown(consumer=consumer.name, reason=f"event {envelope.id}")
    with caused_by(envelope, consumer.name):
        try:
            record = _run(consumer, **consumer.arguments(envelope))
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


def _finish(receipt: Receipt, handled: Sequence[Envelope]) -> str:
    """Delete the dispatch, and the records of earlier failures of the events now handled.

    Returns PostgreSQL's id of the transaction in which it ran, or an empty string.
    """
    ids, consumer = [envelope.id for envelope in handled], receipt.consumer
    if connection.vendor == "postgresql":
        landed = [receipt.dispatch, consumer, json.dumps(receipt.event_ids)]
        with postgres.cursor() as cursor:
            cursor.execute(_FINISH, [*[consumer, ids] * 3, *landed, receipt.dispatch])
            return str(cursor.fetchone()[0])
    if handled:
        ConsumerHealth.objects.filter(pk=consumer).delete()
    for table in (Retry, DeadLetter):
        table._default_manager.filter(consumer=consumer, event_id__in=ids).delete()
    Dispatch.objects.filter(pk=receipt.dispatch, consumer=consumer).delete()
    return ""


# Another copy of the message may have left a retry or a dead letter, and a handler a lock of its
# session. One statement, one round trip. A rebuild (dispatch 0) holds such a lock itself.
_FINISH = """
WITH health AS (DELETE FROM eventbus_consumer_health
                WHERE consumer = %s AND cardinality(%s::uuid[]) > 0),
     retry AS (DELETE FROM eventbus_retry WHERE consumer = %s AND event_id = ANY(%s)),
     dead_letter AS (DELETE FROM eventbus_dead_letter WHERE consumer = %s AND event_id = ANY(%s)),
     dispatch AS (DELETE FROM eventbus_dispatch
                  WHERE id = %s AND consumer = %s AND event_ids <@ %s::jsonb)
SELECT pg_current_xact_id()::text, CASE WHEN %s > 0 THEN pg_advisory_unlock_all()::text END
"""
