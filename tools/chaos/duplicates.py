"""Duplicate deliveries: workers log them, and only events in flight at a fault may have any.

An event was in flight at a fault if it had been published by then, and was handled not earlier
than a second before: its acknowledgement may have been lost, so that it is delivered once more.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from django.db import connection

from tools.ops.audit import Finding

FAULT_TIMES = "fault-times.json"  # a list of Unix times, in the run's folder
IN_FLIGHT = """
SELECT count(*) FROM unnest(%s::float8[]) fault
JOIN eventbus_event e ON e.recorded_at <= to_timestamp(fault)
JOIN eventbus_inbox i ON i.event_id = e.id
  AND i.handled_at >= to_timestamp(fault) - interval '1 second'
"""


def duplicate_deliveries(folder: Path) -> Finding:
    """Compare the duplicates in the workers' logs with the events in flight at the faults."""
    duplicates = count_duplicates(folder.glob("worker*.log"))
    most = in_flight(json.loads((folder / FAULT_TIMES).read_text()))
    text = f"duplicate deliveries {duplicates:,} <= {most:,} in flight at the faults"
    too_many = [] if duplicates <= most else [f"{duplicates - most} too many"]
    return Finding(text, duplicates, too_many)


def count_duplicates(logs: Iterable[Path]) -> int:
    """Add up the events of all log lines (JSON) about duplicates."""
    lines = (line for log in logs for line in log.read_text(errors="replace").splitlines())
    records = (json.loads(line) for line in lines if '"duplicate delivery"' in line)
    return sum(record["events"] for record in records)


def in_flight(fault_times: list[float]) -> int:
    """Add up, over the faults, the deliveries in flight."""
    with connection.cursor() as cursor:
        cursor.execute(IN_FLIGHT, [fault_times])
        return int(cursor.fetchone()[0])
