"""Queries of a chaos test while it runs."""

import sqlite3
from dataclasses import dataclass
from typing import Any

import psycopg

WAITING = {
    "outbox": "SELECT count(*) FROM eventbus_outbox",
    "dispatches": "SELECT count(*) FROM eventbus_dispatch",
    "retries": "SELECT count(*) FROM eventbus_retry",
    "scheduled": "SELECT count(*) FROM eventbus_scheduled",
}
UNDELIVERED = """
SELECT 'in the outbox', name, count(*), 'recorded', min(recorded_at)
FROM eventbus_outbox JOIN eventbus_event e ON e.id = event_id GROUP BY name
UNION ALL
SELECT CASE WHEN confirmed_at IS NULL THEN 'in dispatches not confirmed' ELSE 'in dispatches' END,
       consumer, sum(jsonb_array_length(event_ids)), 'claimed', min(claimed_at)
FROM eventbus_dispatch GROUP BY consumer, confirmed_at IS NULL
UNION ALL SELECT 'to be retried', consumer, count(*), 'due', min(next_at)
FROM eventbus_retry GROUP BY consumer
UNION ALL SELECT 'scheduled', name, count(*), 'due', min(due_at)
FROM eventbus_scheduled GROUP BY name
"""
# Grows with each delivery, also with failed ones: attempts have an end.
PROGRESS = """
SELECT (SELECT count(*) FROM eventbus_inbox WHERE handled_at IS NOT NULL),
       (SELECT count(*) FROM eventbus_dead_letter),
       (SELECT coalesce(sum(attempts + deliveries), 0) FROM eventbus_retry),
       (SELECT count(*) FROM eventbus_scheduled)
"""
# What SQLite calls it.
SQLITE = {
    "%s": "?",
    "jsonb_array_length": "json_array_length",
    "clock_timestamp()": "strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


def is_sqlite(url: str) -> bool:
    """Return whether a DATABASE_URL is of SQLite."""
    return url.startswith("sqlite:")


def connect(url: str) -> Any:
    """Open a connection that commits each statement."""
    if is_sqlite(url):
        return sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    return psycopg.connect(url, autocommit=True)


@dataclass
class Observer:
    """Reads on one connection, and opens another where that was lost."""

    url: str
    _connection: Any = None

    @property
    def sqlite(self) -> bool:
        """Whether it is SQLite."""
        return is_sqlite(self.url)

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return rows; none while the database is unreachable."""
        try:
            if self._connection is None:
                self._connection = connect(self.url)
            if self.sqlite:
                for name, other in SQLITE.items():
                    statement = statement.replace(name, other)
            return list(self._connection.execute(statement, values).fetchall())
        except (psycopg.Error, sqlite3.Error):
            self._connection = None
            return []

    def now(self) -> Any:
        """Return the time of the database's clock."""
        (found,) = self.query("SELECT clock_timestamp()") or [(None,)]
        return found[0]

    def sells_since(self, moment: Any) -> bool:
        """Return whether an order placed since then has its goods, or is cancelled."""
        sold = "SELECT 1 FROM orders_order WHERE placed_at > %s AND status <> 'placed' LIMIT 1"
        return bool(self.query(sold, moment))

    def newest_dispatch(self) -> int:
        """Return the id of the latest dispatch, or 0."""
        rows = self.query("SELECT coalesce(max(id), 0) FROM eventbus_dispatch")
        return int(rows[0][0]) if rows else 0

    def delivered_up_to(self, dispatch: int) -> bool:
        """Return whether no dispatch up to this one is left."""
        rows = self.query("SELECT count(*) FROM eventbus_dispatch WHERE id <= %s", dispatch)
        return rows == [(0,)]

    def waiting(self) -> dict[str, int]:
        """Return how many rows each table of undelivered events has; -1 for unknown."""
        answers = {name: self.query(statement) for name, statement in WAITING.items()}
        return {name: int(rows[0][0]) if rows else -1 for name, rows in answers.items()}

    def progress(self) -> tuple[Any, ...]:
        """Return counts that change with each delivery."""
        return tuple(self.query(PROGRESS))

    def dead_letters(self) -> int:
        """Return the number of dead letters."""
        rows = self.query("SELECT count(*) FROM eventbus_dead_letter")
        return int(rows[0][0]) if rows else 0

    def undelivered(self) -> list[str]:
        """Return a line for each event or consumer with undelivered events."""
        return [
            f"{count} {place}: {name}, the first {verb} {at or 'now'}"
            for place, name, count, verb, at in self.query(UNDELIVERED)
        ]
