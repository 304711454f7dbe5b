"""Claims: outbox rows become dispatches, one per consumer and up to BATCH_SIZE events.

Their bytes are limited: the relay holds all messages of a claim in memory, and a broker takes no
message of any size.

PostgreSQL does it in one statement, in which the events stay text: read as rows and encoded one
by one they took more than twice as long. SQLite has one writer, so several statements are safe.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from django.db import connection
from django.db.models.functions import Now

from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.consuming import pauses
from eventbus.models import ConsumerHealth, Dispatch, Event, Outbox
from eventbus.relay import sizes, subscriptions
from eventbus.relay.sizes import Encoded
from eventbus.relay.transports import Message
from infra import postgres
from infra.transactions import atomic, repeat_conflicts

# Messages of one consumer in the broker at a time: about as many as its workers handle between two
# polls. While they are behind, later events wait here and are merged into full batches: a backlog
# of single messages would drain one by one.
MOST_SENT = 100


@dataclass(frozen=True, slots=True)
class Claim:
    """The messages to send, and whether the outbox has no row left that could be claimed."""

    messages: list[Message]
    exhausted: bool


def claim_batch(low_watermark: int) -> Claim:
    """Turn the oldest outbox rows, except those another relay claims, into dispatches.

    It takes up to CLAIM_SIZE rows, and stops at MAX_CLAIM_BYTES of payloads as they are stored.
    Dispatches of an unhealthy or paused consumer are not sent; probes of the former take events
    from them.
    """
    if connection.vendor == "postgresql":
        return repeat_conflicts(partial(_claim_in_one_statement, low_watermark))
    return _claim_step_by_step()


def _claim_in_one_statement(low_watermark: int) -> Claim:
    with postgres.cursor() as cursor:
        sizes = [conf().CLAIM_SIZE, conf().MAX_CLAIM_BYTES]
        sizes += [conf().BATCH_SIZE, conf().MAX_MESSAGE_BYTES, MOST_SENT]
        limits = [low_watermark, *sizes, conf().PROBE_AFTER_FAILURES]
        cursor.execute(_CLAIM, limits, prepare=True)  # planning takes as long as running
        rows = cursor.fetchall()
    messages = [Message(*columns) for _, _, held, *columns in rows if held is False]
    due, claimed = rows[0][:2]
    return Claim(messages, exhausted=due < conf().CLAIM_SIZE and claimed == due)


@atomic
def _claim_step_by_step() -> Claim:
    due = list(Outbox.objects.order_by("pk")[: conf().CLAIM_SIZE])
    stored = sizes.stored(row.event_id for row in due)
    rows = due[: sizes.fitting(stored.get(row.event_id, 0) for row in due)]
    Outbox.objects.filter(pk__in=[row.pk for row in rows]).delete()
    events = Event.objects.in_bulk([row.event_id for row in rows])
    batches = list(_batches(events[row.event_id] for row in rows if row.event_id in events))
    held = held_consumers({consumer for consumer, _ in batches})
    dispatches = Dispatch.objects.bulk_create(
        Dispatch(
            consumer=consumer,
            event_ids=[id for id, _ in batch],
            claimed_at=None if consumer in held else Now(),
        )
        for consumer, batch in batches
    )
    messages = [
        message_of(dispatch, batch)
        for dispatch, (_, batch) in zip(dispatches, batches, strict=True)
        if dispatch.claimed_at
    ]
    return Claim(messages, exhausted=len(rows) < conf().CLAIM_SIZE and len(rows) == len(due))


def _batches(events: Iterable[Event]) -> Iterator[tuple[str, list[Encoded]]]:
    subscribers, by_consumer = subscriptions.active(), defaultdict(list)
    for event in events:
        text = msgspec.json.encode(to_cloudevent(event.envelope()))
        for consumer, since in subscribers[event.name]:
            if event.recorded_at >= since:
                by_consumer[consumer].append((str(event.pk), text))
    for consumer, owed in by_consumer.items():
        for batch in sizes.split(owed):
            yield consumer, batch


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


def message_of(dispatch: Dispatch, events: Sequence[Encoded]) -> Message:
    """Return the message of a dispatch."""
    text = b",".join(text for _, text in events).decode()
    suspect = dispatch.retry or dispatch.deliveries > 0
    return Message(dispatch.pk, dispatch.consumer, f"[{text}]", len(events), suspect)


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
# `before` is the size of everything before the row in its claim, or before the event at its
# consumer: what begins below the limit is taken, so that one event of any size is.
_CLAIM = f"""
WITH due AS MATERIALIZED (
         SELECT id, event_id, ctid AS place FROM eventbus_outbox WHERE id >= %s
         ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED),
     sized AS (
         SELECT due.id AS outbox_id, place, e.*,
                coalesce(sum(pg_column_size(payload)) OVER (ORDER BY due.id
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
         FROM due LEFT JOIN LATERAL (
             SELECT * FROM eventbus_event e WHERE e.id = due.event_id OFFSET 0) e ON true),
     taken AS MATERIALIZED (SELECT * FROM sized WHERE before < %s),
     claimed AS (DELETE FROM eventbus_outbox WHERE ctid = ANY (ARRAY(SELECT place FROM taken))
                 RETURNING id),
     event AS MATERIALIZED (
         SELECT outbox_id, id, name, recorded_at, {_CLOUDEVENT} AS cloudevent
         FROM taken e WHERE id IS NOT NULL),
     subscription AS MATERIALIZED (
         SELECT consumer, event, since FROM eventbus_subscription
         WHERE until IS NULL AND event IN (SELECT name FROM event)),
     owed AS (SELECT s.consumer, e.outbox_id, e.id, e.cloudevent,
                     (row_number() OVER earlier - 1) / %s AS batch,
                     coalesce(sum(octet_length(cloudevent)) OVER (earlier
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) / %s AS part
              FROM subscription s
              JOIN event e ON s.event = e.name AND s.since <= e.recorded_at
              WINDOW earlier AS (PARTITION BY s.consumer ORDER BY e.outbox_id)),
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
         FROM owed GROUP BY consumer, batch, part),
     dispatch AS (INSERT INTO eventbus_dispatch
                      (id, consumer, event_ids, claimed_at, deliveries, retry)
                  SELECT dispatch, consumer, event_ids,
                         CASE WHEN NOT held THEN statement_timestamp() END, 0, false
                  FROM message)
SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM claimed),
       held, message.dispatch, consumer, text, events
FROM (VALUES (1)) one LEFT JOIN message ON true ORDER BY message.dispatch
"""
