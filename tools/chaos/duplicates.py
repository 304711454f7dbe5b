"""Duplicate deliveries: workers say which events they hear again; only a strike excuses them.

What had been published at a strike and was not handled a second before it was in flight: it may
still have waited for its acknowledgement. Its message, or another for it, may come once more.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from django.db import connection

from tools.ops.audit import Finding

HITS = "hits.json"  # the Unix times of all strikes, in the storm's folder
IN_FLIGHT = """
SELECT count(*) FROM unnest(%s::float8[]) hit
JOIN eventbus_event e ON e.recorded_at <= to_timestamp(hit)
JOIN eventbus_inbox i ON i.event_id = e.id
  AND i.handled_at >= to_timestamp(hit) - interval '1 second'
"""


def few(folder: Path) -> Finding:
    """No more than was in flight came again."""
    again = heard_again(folder.glob("worker*.log"))
    most = in_flight(json.loads((folder / HITS).read_text()))
    words = f"duplicate deliveries {again:,} <= {most:,} in flight at the strikes"
    return Finding(words, again, [] if again <= most else [f"{again - most} too many"])


def heard_again(logs: Iterable[Path]) -> int:
    """Add up what workers say in JSON."""
    lines = (line for log in logs for line in log.read_text(errors="replace").splitlines())
    told = (json.loads(line) for line in lines if '"duplicate delivery"' in line)
    return sum(line["events"] for line in told)


def in_flight(hits: list[float]) -> int:
    """Add up, over the strikes, the deliveries that were under way."""
    with connection.cursor() as cursor:
        cursor.execute(IN_FLIGHT, [hits])
        return int(cursor.fetchone()[0])
