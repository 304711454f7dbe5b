"""Streams: the events of one aggregate, numbered 1, 2, 3 … by those contexts that give versions."""

from typing import Any

from django.db import connection

_CONTEXT = {
    "postgresql": "split_part(name, '.', 1)",
    "sqlite": "substr(name, 1, instr(name, '.') - 1)",
}
_VERSIONED = """
WITH versioned AS (
    SELECT {context} AS context, aggregate, aggregate_version AS version, position,
           lag(aggregate_version, 1, 0) OVER stream AS previous,
           lag(position, 1, 0) OVER stream AS previous_position
    FROM eventbus_event WHERE aggregate_version IS NOT NULL
    WINDOW stream AS (PARTITION BY {context}, aggregate ORDER BY aggregate_version, position))
"""
_COUNT = "SELECT count(*) FROM (SELECT DISTINCT context, aggregate FROM versioned) s"
# Archived events are missing from the log, at the beginning of a stream or between events that
# were still needed: what is missing was recorded between its neighbors.
_BROKEN = """
SELECT context, aggregate, previous, version FROM versioned
WHERE version = previous OR (version > previous + 1 AND NOT EXISTS (
    SELECT 1 FROM eventbus_archive a
    WHERE a.first_position < position AND a.last_position > previous_position))
ORDER BY 1, 2, 4
"""


def count() -> int:
    """Return the number of streams with versions in the log."""
    ((number,),) = _rows(_COUNT)
    return int(number)


def broken() -> list[str]:
    """Describe each hole and each double version in a stream; archived events leave no hole."""
    return [
        f"{context} about {aggregate}: version {version} "
        + ("twice" if version == previous else f"after {previous}")
        for context, aggregate, previous, version in _rows(_BROKEN)
    ]


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_VERSIONED.format(context=_CONTEXT[connection.vendor]) + query)
        return list(cursor.fetchall())
