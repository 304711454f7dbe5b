"""Delivery of a message: each event's effect exactly once, or its failure recorded."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.db import connection

from eventbus import registry
from eventbus.cloudevents import from_cloudevent
from eventbus.consuming import inbox, pauses, retries, streams
from eventbus.consuming.external_calls import call_external
from eventbus.consuming.handlers import Arguments, run
from eventbus.consuming.receipts import Receipt, finish
from eventbus.consuming.savepoints import Savepoints
from eventbus.consuming.survival import DeliveryTransaction, current_id
from eventbus.events import Envelope
from eventbus.models import Retry
from eventbus.origin import caused_by, caused_by_many
from eventbus.registry import Consumer
from infra.failpoints import reach
from infra.transactions import repeat_conflicts

Handle = Callable[[Consumer, Envelope], bool]  # False: parked


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
        finish(receipt, [])
        return
    handle = call_external if consumer.external else _handle_in_transaction
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
            admitted = [envelope for envelope in envelopes if envelope.id not in current.parked]
            current.must_be(finish(receipt, admitted))

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
            if handle(consumer, envelope):
                handled.append(envelope)
        except Exception as error:
            _reset_session(receipt)
            retries.record_failure(consumer.name, envelope, error)
    finish(receipt, handled)


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


def _handle_counted(handle: Handle, consumer: Consumer, envelope: Envelope) -> bool:
    # Counted before the handler runs: one that kills its worker cannot count afterwards.
    retries.count_delivery(consumer.name, envelope)
    if not handle(consumer, envelope):
        return False
    Retry.objects.filter(consumer=consumer.name, event_id=envelope.id).delete()
    return True


def _handle_in_transaction(consumer: Consumer, envelope: Envelope) -> bool:
    def handle_alone() -> bool:
        current = DeliveryTransaction(consumer.name)
        with current.atomic():
            _handle(current, consumer, [envelope])
            current.must_be_open()
            current.must_be(current_id())
        return not current.parked

    return repeat_conflicts(handle_alone)


def _handle(
    current: DeliveryTransaction, consumer: Consumer, envelopes: Sequence[Envelope]
) -> None:
    decoded = Arguments(consumer)
    keys = {key for envelope in envelopes for key in decoded.keys_of(envelope)}
    if consumer.order == "strict":
        admitted = streams.admit(consumer, envelopes, keys)
        current.parked = {e.id for e in envelopes} - {e.id for e in admitted}
        envelopes = admitted
    ids = [envelope.id for envelope in envelopes]
    marked, current.id = inbox.mark_handled(consumer.name, ids, keys)
    marked -= inbox.drop_archived(consumer.name, (e for e in envelopes if e.id in marked))
    current.marked = marked
    fresh = [envelope for envelope in envelopes if envelope.id in marked]
    absorbed, superseded = len(envelopes) - len(fresh), 0
    if consumer.order == "latest" and fresh:
        latest = streams.without_superseded(consumer, fresh)
        superseded, fresh = len(fresh) - len(latest), latest
    if consumer.item_type:
        items = [consumer.item(decoded.of(envelope)) for envelope in fresh]
        if items:
            with caused_by_many(consumer.name):
                run(consumer, items)
    else:
        for envelope in fresh:
            with caused_by(envelope, consumer.name), current.run(envelope.id):
                run(consumer, **decoded.of(envelope))
    if consumer.order == "strict":
        streams.settle(consumer.name, fresh)
    if absorbed or superseded:
        current.must_be_open()
        inbox.count_absorbed(consumer.name, absorbed, superseded)
    reach("handled-not-committed")
