"""Completeness as of a moment: each delivery owed is in one state, also while events move.

One statement sees one snapshot, and a delivery moves between tables in one transaction, so none
is between two tables. It reads the log and the inbox in one statement.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from infra import clock

# A delivery in several tables is counted in the first one. A retry keeps its row while it is sent.
STATES = ("dead", "discarded", "parked", "retrying", "in_flight", "pending")
LOST = "lost"

SENT = {
    "postgresql": "SELECT consumer, jsonb_array_elements_text(event_ids)::uuid AS event_id"
    " FROM eventbus_dispatch",
    "sqlite": "SELECT consumer, replace(value, '-', '') AS event_id"
    " FROM eventbus_dispatch, json_each(event_ids)",
}
_OPEN = """
WITH owed AS (
         SELECT s.consumer, e.id AS event_id
         FROM eventbus_subscription s
         JOIN eventbus_event e ON e.name = s.event AND e.recorded_at >= s.since
         WHERE s.until IS NULL),
     sent AS ({sent}),
     unhandled AS (
         SELECT consumer, event_id FROM owed o WHERE NOT EXISTS (
             SELECT 1 FROM eventbus_inbox i WHERE i.consumer = o.consumer
                 AND i.event_id = o.event_id AND i.handled_at IS NOT NULL)),
     stated AS (
         SELECT consumer, event_id, CASE
             WHEN (consumer, event_id) IN (SELECT consumer, event_id FROM eventbus_dead_letter)
                 THEN 'dead'
             WHEN (consumer, event_id) IN
                 (SELECT consumer, event_id FROM eventbus_discarded_dead_letter) THEN 'discarded'
             WHEN (consumer, event_id) IN
                 (SELECT consumer, event_id FROM eventbus_parked WHERE dispatched_at IS NULL)
                 THEN 'parked'
             WHEN (consumer, event_id) IN (SELECT consumer, event_id FROM eventbus_retry)
                 THEN 'retrying'
             WHEN (consumer, event_id) IN (SELECT consumer, event_id FROM sent) THEN 'in_flight'
             WHEN event_id IN (SELECT event_id FROM eventbus_outbox) THEN 'pending'
             ELSE 'lost' END AS state
         FROM unhandled)
"""
_COUNT = """
SELECT consumer, 'owed', count(*) FROM owed GROUP BY consumer
UNION ALL SELECT consumer, state, count(*) FROM stated GROUP BY consumer, state
"""
_LOST = "SELECT consumer, event_id FROM stated WHERE state = 'lost' ORDER BY 1, 2"


@dataclass
class Completeness:
    """Deliveries owed as of a moment, by state: handled, each of STATES, and lost."""

    at: dt.datetime
    consumers: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def total(self) -> Counter[str]:
        """Return the deliveries of all consumers by state."""
        return sum(self.consumers.values(), Counter())

    def __str__(self) -> str:
        """Return the sum as a sentence."""
        total = self.total
        parts = [f"{total[s]:,} {s.replace('_', ' ')}" for s in ("handled", *STATES, LOST)]
        return f"as of {self.at:%F %T.%f} UTC: {' + '.join(parts)} = {total['owed']:,} owed"

    def as_json(self) -> dict[str, Any]:
        """Return the counts for a machine."""
        return {"at": self.at, "total": self.total, "consumers": self.consumers}


def measure() -> Completeness:
    """Count the deliveries owed by consumer and state, all from one snapshot."""
    found = Completeness(clock.now())
    for consumer, state, deliveries in _rows(_COUNT):
        found.consumers.setdefault(consumer, Counter())[state] = deliveries
    for states in found.consumers.values():
        states["handled"] = 2 * states["owed"] - states.total()
    return found


def lost() -> Iterator[tuple[str, Any]]:
    """Return consumer and event of each delivery that is owed and in no table."""
    yield from _rows(_LOST)


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_OPEN.format(sent=SENT[connection.vendor]) + query)
        return list(cursor.fetchall())
