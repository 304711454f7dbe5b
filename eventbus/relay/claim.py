"""From the outbox to dispatches: who is owed what, in messages of up to EVENTBUS.BATCH_SIZE events.

On PostgreSQL one statement does all of it, and the events stay text on their way through: read as
rows and written as JSON one by one, they took more than twice as long. SQLite has one writer, so
there nobody comes between the statements.
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
from eventbus.models import ConsumerHealth, Dispatch, Event, Outbox
from eventbus.relay import subscriptions
from eventbus.relay.transports import Message
from infra import postgres


@dataclass(frozen=True, slots=True)
class Claim:
    """How many rows left the outbox, and what is to be sent for them."""

    rows: int
    messages: list[Message]


def claim_batch(floor: int) -> Claim:
    """Turn the oldest rows of the outbox that no other relay has claimed into dispatches.

    Dispatches of a consumer in trouble are kept back for its probes.
    """
    if connection.vendor == "postgresql":
        return _at_once(floor)
    with transaction.atomic():
        return _step_by_step()


def _at_once(floor: int) -> Claim:
    with postgres.cursor() as cursor:
        chosen = [floor, conf().CLAIM_SIZE, conf().BATCH_SIZE, conf().PROBE_AFTER_FAILURES]
        cursor.execute(_TAKE, chosen, prepare=True)  # to plan it takes as long as to run it
        found = cursor.fetchall()
    messages = [Message(*message) for _, held, *message in found if held is False]
    return Claim(found[0][0], messages)


def _step_by_step() -> Claim:
    rows = list(Outbox.objects.order_by("pk")[: conf().CLAIM_SIZE])
    Outbox.objects.filter(pk__in=[row.pk for row in rows]).delete()
    events = Event.objects.in_bulk([row.event_id for row in rows])
    batches = list(_batches(events[row.event_id] for row in rows))
    held = unhealthy_consumers()
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
    owed, for_whom = subscriptions.directory(), defaultdict(list)
    for event in events:
        for consumer, since in owed[event.name]:
            if event.recorded_at >= since:
                for_whom[consumer].append(event)
    for consumer, batch in for_whom.items():
        for at in range(0, len(batch), conf().BATCH_SIZE):
            yield consumer, batch[at : at + conf().BATCH_SIZE]


def unhealthy_consumers() -> set[str]:
    """Return the consumers that are probed with one event at a time."""
    in_trouble = ConsumerHealth.objects.filter(failures__gte=conf().PROBE_AFTER_FAILURES)
    return set(in_trouble.values_list("consumer", flat=True))


def message_of(dispatch: Dispatch, events: Sequence[dict[str, Any]]) -> Message:
    """Return the message of a dispatch."""
    text = msgspec.json.encode(events).decode()
    suspect = dispatch.retry or dispatch.deliveries > 0
    return Message(dispatch.pk, dispatch.consumer, text, len(events), suspect)


# As `to_cloudevent` writes it: an attribute without a value is left out. Put together as text, as
# json_build_object takes twice as long.
_WIRE = """
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
# By ctid and OFFSET 0 rows are found one by one, whatever the planner believes: with a long
# outbox or log it would otherwise read all of it for each claim.
_TAKE = f"""
WITH due AS (SELECT id, ctid AS place FROM eventbus_outbox WHERE id >= %s
             ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED),
     gone AS (DELETE FROM eventbus_outbox WHERE ctid = ANY (ARRAY(SELECT place FROM due))
              RETURNING id, event_id),
     told AS MATERIALIZED (
         SELECT gone.id AS place, e.* FROM gone, LATERAL (
             SELECT e.id, e.name, e.recorded_at, {_WIRE} AS wire
             FROM eventbus_event e WHERE e.id = gone.event_id OFFSET 0) e),
     heard AS MATERIALIZED (
         SELECT consumer, event, since FROM eventbus_subscription
         WHERE until IS NULL AND event IN (SELECT name FROM told)),
     owed AS (SELECT h.consumer, t.place, t.id, t.wire,
                     (row_number() OVER (PARTITION BY h.consumer ORDER BY t.place) - 1) / %s AS part
              FROM heard h JOIN told t ON h.event = t.name AND h.since <= t.recorded_at),
     message AS MATERIALIZED (
         SELECT nextval(pg_get_serial_sequence('eventbus_dispatch', 'id')) AS dispatch, consumer,
                jsonb_agg(id ORDER BY place) AS ids, count(*) AS events,
                '[' || string_agg(wire, ',' ORDER BY place) || ']' AS wire,
                consumer IN (SELECT consumer FROM eventbus_consumer_health
                             WHERE failures >= %s) AS held
         FROM owed GROUP BY consumer, part),
     flown AS (INSERT INTO eventbus_dispatch
                   (id, consumer, event_ids, claimed_at, deliveries, retry)
               SELECT dispatch, consumer, ids, CASE WHEN NOT held THEN statement_timestamp() END,
                      0, false FROM message)
SELECT (SELECT count(*) FROM gone), held, dispatch, consumer, wire, events
FROM (VALUES (1)) claim LEFT JOIN message ON true ORDER BY dispatch
"""
