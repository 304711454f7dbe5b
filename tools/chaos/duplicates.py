"""Duplicate deliveries: workers log them, and only events in flight at a fault may have any.

An event was in flight at a fault if it had been published by then, and was handled not earlier
than a second before: its acknowledgement may have been lost, so that it is delivered once more.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from pathlib import Path

from eventbus.models import Event, Inbox
from tools.ops.audit import Finding

FAULT_TIMES = "fault-times.json"  # a list of Unix times, in the run's folder
JUST_HANDLED = 1.0  # seconds
LOGS = ("worker*.log", "shop.log")  # of the processes that deliver


def duplicate_deliveries(folder: Path) -> Finding:
    """Compare the duplicates in the workers' logs with the events in flight at the faults."""
    duplicates = count_duplicates(log for logs in LOGS for log in folder.glob(logs))
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
    recorded = dict(Event.objects.values_list("pk", "recorded_at"))
    handled = Inbox.objects.exclude(handled_at=None).values_list("event_id", "handled_at")
    known = [(recorded[id], at) for id, at in handled if at and id in recorded]
    began = sorted(at.timestamp() for at, _ in known)
    ended = sorted(at.timestamp() for _, at in known)
    return sum(
        bisect_right(began, fault) - bisect_left(ended, fault - JUST_HANDLED)
        for fault in fault_times
    )
