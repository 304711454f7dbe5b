"""The end of a message: its dispatch is deleted in the transaction that records the outcome."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from eventbus.events import Envelope
from eventbus.models import ConsumerHealth, DeadLetter, Dispatch, Retry
from infra import postgres


@dataclass(frozen=True, slots=True)
class Receipt:
    """The dispatch that a message came from; 0 for none, as in a rebuild.

    The relay commits asynchronously, so after a crash of the server a number may come again: the
    outcome of an old message deletes a dispatch only of its own consumer and events.
    """

    dispatch: int
    consumer: str
    event_ids: list[str]


def finish(receipt: Receipt, handled: Sequence[Envelope]) -> str:
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
