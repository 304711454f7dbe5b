"""Events under way as of a moment: published, owed to a consumer, and not handled by it.

Two contexts may differ about the aggregates of these events, and about no others: an effect and
the end of its delivery are one transaction, so one snapshot shows both or neither.
"""

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from eventbus.models import Event
from eventbus.operations.completeness import SENT

# Handled, and still in a table: a message of several events is deleted after the last of them.
_UNDER_WAY = """
SELECT event_id FROM (
    SELECT s.consumer, o.event_id
    FROM eventbus_outbox o
    JOIN eventbus_event e ON e.id = o.event_id
    JOIN eventbus_subscription s
        ON s.event = e.name AND s.since <= e.recorded_at AND s.until IS NULL
    UNION ALL {sent}
    UNION ALL SELECT consumer, event_id FROM eventbus_parked
    UNION ALL SELECT consumer, event_id FROM eventbus_retry
    UNION ALL SELECT consumer, event_id FROM eventbus_dead_letter) d
WHERE ({consumers}) AND NOT EXISTS (
    SELECT 1 FROM eventbus_inbox i
    WHERE i.consumer = d.consumer AND i.event_id = d.event_id AND i.handled_at IS NOT NULL
        AND i.generation =
            (SELECT max(generation) FROM eventbus_subscription s WHERE s.consumer = d.consumer))
"""


def events_under_way(*names: str) -> QuerySet[Event]:
    """Return the events that consumers, or all consumers of contexts, have yet to handle.

    They are in the outbox, dispatched (sent, waiting for a relay, or paused), parked, retrying or
    dead letters. An event whose dead letter was discarded is not under way: it never arrives.
    """
    consumers = " OR ".join(["d.consumer = %s OR d.consumer LIKE %s"] * len(names))
    query = _UNDER_WAY.format(sent=SENT[connection.vendor], consumers=consumers)
    values = [value for name in names for value in (name, f"{name}.%")]
    return Event.objects.filter(pk__in=RawSQL(query, values)).order_by()


def aggregates_under_way(*names: str) -> set[str]:
    """Return the aggregates, such as `order:0190…`, of the events under way to these names."""
    events = events_under_way(*names).exclude(aggregate="")
    return set(events.values_list("aggregate", flat=True).distinct())
