"""CPU time of running processes and their children, which load of others does not change."""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

CLOCK_RATE = os.sysconf("SC_CLK_TCK")


def cpu_seconds(groups: Collection[int]) -> float:
    """Return the CPU seconds of process groups so far; 0 without /proc."""
    return (
        sum(_clock_counts(folder, groups) for folder in Path("/proc").glob("[0-9]*")) / CLOCK_RATE
    )


def load() -> str:
    """Return the load of the machine as text."""
    busy, processors = os.getloadavg()[0], os.cpu_count() or 1
    warning = "; other processes are running, so compare ratios only" if busy > processors else ""
    return f"load {busy:.1f} on {processors} processors{warning}"


def _clock_counts(folder: Path, groups: Collection[int]) -> int:
    with suppress(OSError):
        # pid (name) state ppid pgrp …; utime and stime are fields 14 and 15.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        if int(fields[2]) in groups:
            return int(fields[11]) + int(fields[12])
    return 0
