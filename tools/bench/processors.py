"""Processor time of processes that are still there, children included: deaf to neighbours."""

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def seconds_of(groups: Collection[int]) -> float:
    """Return what the processes of these groups have used so far; 0 where there is no /proc."""
    return sum(_ticks(folder, groups) for folder in Path("/proc").glob("[0-9]*")) / TICKS


def load() -> str:
    """Say how busy the machine is, and what that means for the figures."""
    busy, processors = os.getloadavg()[0], os.cpu_count() or 1
    crowded = "; others are at work here, so look at ratios only" if busy > processors else ""
    return f"load {busy:.1f} on {processors} processors{crowded}"


def _ticks(folder: Path, groups: Collection[int]) -> int:
    with suppress(OSError):
        # pid (name) state ppid pgrp …; utime and stime are fields 14 and 15.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        if int(fields[2]) in groups:
            return int(fields[11]) + int(fields[12])
    return 0
