"""What a storm sees of the database from outside, while it rages."""

from dataclasses import dataclass
from typing import Any

import psycopg

WAITING = {
    "outbox": "SELECT count(*) FROM eventbus_outbox",
    "dispatches": "SELECT count(*) FROM eventbus_dispatch",
    "retries": "SELECT count(*) FROM eventbus_retry",
    "scheduled": "SELECT count(*) FROM eventbus_scheduled",
}
STAYED = """
SELECT 'in the outbox', name, count(*), 'recorded', min(recorded_at)
FROM eventbus_outbox JOIN eventbus_event e ON e.id = event_id GROUP BY name
UNION ALL
SELECT CASE WHEN confirmed_at IS NULL THEN 'in dispatches not confirmed' ELSE 'in dispatches' END,
       consumer, sum(jsonb_array_length(event_ids)), 'claimed', min(claimed_at)
FROM eventbus_dispatch GROUP BY consumer, confirmed_at IS NULL
UNION ALL SELECT 'to be tried again', consumer, count(*), 'due', min(next_at)
FROM eventbus_retry GROUP BY consumer
UNION ALL SELECT 'scheduled', name, count(*), 'due', min(due_at)
FROM eventbus_scheduled GROUP BY name
"""
# Grows with whatever arrives, also with what fails: attempts have an end.
ARRIVED = """
SELECT (SELECT count(*) FROM eventbus_inbox WHERE handled_at IS NOT NULL),
       (SELECT count(*) FROM eventbus_dead_letter),
       (SELECT coalesce(sum(attempts + deliveries), 0) FROM eventbus_retry),
       (SELECT count(*) FROM eventbus_scheduled)
"""


@dataclass
class Gauges:
    """Reads on one connection, and makes another where that has died."""

    url: str
    _connection: "psycopg.Connection[Any] | None" = None

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows; none where the database is away."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self.url, autocommit=True)
            return self._connection.execute(statement.encode(), values or None).fetchall()
        except psycopg.Error:
            self._connection = None
            return []

    def now(self) -> Any:
        """What time the database says it is."""
        (found,) = self.ask("SELECT clock_timestamp()") or [(None,)]
        return found[0]

    def sells_since(self, moment: Any) -> bool:
        """Whether an order placed since then has got an answer about its goods."""
        sold = "SELECT 1 FROM orders_order WHERE placed_at > %s AND status <> 'placed' LIMIT 1"
        return bool(self.ask(sold, moment))

    def newest_dispatch(self) -> int:
        """The number of the latest message."""
        rows = self.ask("SELECT coalesce(max(id), 0) FROM eventbus_dispatch")
        return int(rows[0][0]) if rows else 0

    def landed(self, dispatch: int) -> bool:
        """Whether all messages up to this one have arrived."""
        rows = self.ask("SELECT count(*) FROM eventbus_dispatch WHERE id <= %s", dispatch)
        return rows == [(0,)]

    def waiting(self) -> dict[str, int]:
        """How much there is still to do."""
        answers = {name: self.ask(statement) for name, statement in WAITING.items()}
        return {name: int(rows[0][0]) if rows else -1 for name, rows in answers.items()}

    def arrived(self) -> tuple[Any, ...]:
        """Return what changes as long as anything arrives."""
        return tuple(self.ask(ARRIVED))

    def dead_letters(self) -> int:
        """How many an operator would find."""
        rows = self.ask("SELECT count(*) FROM eventbus_dead_letter")
        return int(rows[0][0]) if rows else 0

    def stayed(self) -> list[str]:
        """Say what has not arrived."""
        return [
            f"{count} {place}: {what}, the first {since} {at or 'now'}"
            for place, what, count, since, at in self.ask(STAYED)
        ]
