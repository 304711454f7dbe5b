"""Claims: outbox rows become dispatches, one per consumer and up to BATCH_SIZE events.

PostgreSQL does it in one statement, in which the events stay text: read as rows and encoded one
by one they took more than twice as long. SQLite has one writer, so several statements are safe.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.db import connection, transaction
from django.db.models.functions import Now

from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.consuming import pauses
from eventbus.models import ConsumerHealth, Dispatch, Event, Outbox
from eventbus.relay import subscriptions
from eventbus.relay.transports import Message
from infra import postgres

# Messages of one consumer in the broker at a time: about as many as its workers handle between two
# polls. While they are behind, later events wait here and are merged into full batches: a backlog
# of single messages would drain one by one.
MOST_SENT = 100


@dataclass(frozen=True, slots=True)
class Claim:
    """The number of rows taken from the outbox, and the messages to send for them."""

    rows: int
    messages: list[Message]


def claim_batch(low_watermark: int) -> Claim:
    """Turn the oldest CLAIM_SIZE outbox rows, except those another relay claims, into dispatches.

    Dispatches of an unhealthy or paused consumer are not sent; probes of the former take events
    from them.
    """
    if connection.vendor == "postgresql":
        return _claim_in_one_statement(low_watermark)
    with transaction.atomic():
        return _claim_step_by_step()


def _claim_in_one_statement(low_watermark: int) -> Claim:
    with postgres.cursor() as cursor:
        sizes = [conf().CLAIM_SIZE, conf().BATCH_SIZE, MOST_SENT]
        limits = [low_watermark, *sizes, conf().PROBE_AFTER_FAILURES]
        cursor.execute(_CLAIM, limits, prepare=True)  # planning takes as long as running
        rows = cursor.fetchall()
    messages = [Message(*columns) for _, held, *columns in rows if held is False]
    return Claim(rows[0][0], messages)


def _claim_step_by_step() -> Claim:
    rows = list(Outbox.objects.order_by("pk")[: conf().CLAIM_SIZE])
    Outbox.objects.filter(pk__in=[row.pk for row in rows]).delete()
    events = Event.objects.in_bulk([row.event_id for row in rows])
    batches = list(_batches(events[row.event_id] for row in rows if row.event_id in events))
    held = held_consumers({consumer for consumer, _ in batches})
    dispatches = Dispatch.objects.bulk_create(
        Dispatch(
            consumer=consumer,
            event_ids=[str(event.pk) for event in batch],
            claimed_at=None if consumer in held else Now(),
        )
        for consumer, batch in batches
    )
    messages = [
        message_of(dispatch, [to_cloudevent(event.envelope()) for event in batch])
        for dispatch, (_, batch) in zip(dispatches, batches, strict=True)
        if dispatch.claimed_at
    ]
    return Claim(len(rows), messages)


def _batches(events: Iterable[Event]) -> Iterator[tuple[str, list[Event]]]:
    subscribers, by_consumer = subscriptions.active(), defaultdict(list)
    for event in events:
        for consumer, since in subscribers[event.name]:
            if event.recorded_at >= since:
                by_consumer[consumer].append(event)
    for consumer, owed in by_consumer.items():
        for start in range(0, len(owed), conf().BATCH_SIZE):
            yield consumer, owed[start : start + conf().BATCH_SIZE]


def unhealthy_consumers() -> set[str]:
    """Return the consumers that are probed with one event at a time."""
    unhealthy = ConsumerHealth.objects.filter(failures__gte=conf().PROBE_AFTER_FAILURES)
    return set(unhealthy.values_list("consumer", flat=True))


def held_consumers(consumers: Iterable[str]) -> set[str]:
    """Return the consumers whose dispatches are not sent: unhealthy or paused ones."""
    paused = pauses.names()
    return unhealthy_consumers() | {
        name for name in consumers if paused & {name, name.partition(".")[0]}
    }


def message_of(dispatch: Dispatch, events: Sequence[dict[str, Any]]) -> Message:
    """Return the message of a dispatch."""
    text = msgspec.json.encode(events).decode()
    suspect = dispatch.retry or dispatch.deliveries > 0
    return Message(dispatch.pk, dispatch.consumer, text, len(events), suspect)


# The same JSON as `to_cloudevent`: an attribute without a value is left out. Concatenated, as
# json_build_object takes twice as long.
_CLOUDEVENT = """
'{"specversion":"1.0","id":"' || e.id || '","source":"/' || split_part(e.name, '.', 1)
|| '","type":"' || e.name || '","time":"'
|| to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
|| '","datacontenttype":"application/json","correlationid":"' || e.correlation || '"'
|| coalesce(',"causationid":"' || e.causation || '"', '')
|| coalesce(',"subject":' || to_json(nullif(e.aggregate, '')), '')
|| coalesce(',"aggregateversion":' || e.aggregate_version, '')
|| coalesce(',"traceparent":' || to_json(nullif(e.traceparent, '')), '')
|| coalesce(',"tracestate":' || to_json(nullif(e.tracestate, '')), '')
|| coalesce(',"actor":' || to_json(nullif(e.actor, '')), '')
|| ',"data":' || e.payload || '}'
"""
# By ctid and OFFSET 0 rows are found one by one, whatever the planner estimates: with a long
# outbox or log it would otherwise read all of it for each claim.
_CLAIM = f"""
WITH due AS (SELECT id, ctid AS place FROM eventbus_outbox WHERE id >= %s
             ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED),
     claimed AS (DELETE FROM eventbus_outbox WHERE ctid = ANY (ARRAY(SELECT place FROM due))
                 RETURNING id, event_id),
     event AS MATERIALIZED (
         SELECT claimed.id AS outbox_id, e.* FROM claimed, LATERAL (
             SELECT e.id, e.name, e.recorded_at, {_CLOUDEVENT} AS cloudevent
             FROM eventbus_event e WHERE e.id = claimed.event_id OFFSET 0) e),
     subscription AS MATERIALIZED (
         SELECT consumer, event, since FROM eventbus_subscription
         WHERE until IS NULL AND event IN (SELECT name FROM event)),
     owed AS (SELECT s.consumer, e.outbox_id, e.id, e.cloudevent,
                     (row_number() OVER (PARTITION BY s.consumer ORDER BY e.outbox_id) - 1) / %s
                         AS batch
              FROM subscription s
              JOIN event e ON s.event = e.name AND s.since <= e.recorded_at),
     full_queue AS MATERIALIZED (
         SELECT consumer FROM eventbus_dispatch WHERE claimed_at IS NOT NULL
         GROUP BY consumer HAVING count(*) >= %s),
     message AS MATERIALIZED (
         SELECT nextval(pg_get_serial_sequence('eventbus_dispatch', 'id')) AS dispatch, consumer,
                jsonb_agg(id ORDER BY outbox_id) AS event_ids, count(*) AS events,
                '[' || string_agg(cloudevent, ',' ORDER BY outbox_id) || ']' AS text,
                consumer IN (SELECT consumer FROM eventbus_consumer_health
                             WHERE failures >= %s)
                OR consumer IN (SELECT name FROM eventbus_pause)
                OR split_part(consumer, '.', 1) IN (SELECT name FROM eventbus_pause)
                OR consumer IN (SELECT consumer FROM full_queue) AS held
         FROM owed GROUP BY consumer, batch),
     dispatch AS (INSERT INTO eventbus_dispatch
                      (id, consumer, event_ids, claimed_at, deliveries, retry)
                  SELECT dispatch, consumer, event_ids,
                         CASE WHEN NOT held THEN statement_timestamp() END, 0, false
                  FROM message)
SELECT (SELECT count(*) FROM claimed), held, message.dispatch, consumer, text, events
FROM (VALUES (1)) one LEFT JOIN message ON true ORDER BY message.dispatch
"""
