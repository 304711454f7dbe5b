"""Throughput under an old open snapshot, and with a large log."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection

from tools.bench import candidates, fixtures
from tools.bench.candidates import Candidate
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.timing import pace

ROUNDS = 3  # of a median


def rows(run: Run) -> Iterator[Row]:
    """Run the bus end to end with and without each of them."""
    ours = candidates.bus(run.plan.workers)
    with candidates.running(run.folder, ours), ours.resumed():
        if run.plan.wants("snapshot"):
            adding = candidates.bus(run.plan.workers, "GoodsNoted", "bus, rows only added")
            yield from _snapshot(run, adding, ours)
        if run.plan.wants("log"):
            yield _log(run, ours)


def _snapshot(run: Run, *compared: Candidate) -> Iterator[Row]:
    """Publish until the snapshot is old; the last rounds count."""
    seconds, size = run.plan.snapshot_seconds, max(500, run.plan.events // 5)
    before = _rounds(run, compared, size)
    with _old_snapshot():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            held = _rounds(run, compared, size)
    after = _rounds(run, compared, size)
    for one in compared:
        without = statistics.mean((before[one.name], after[one.name]))
        yield Row(
            name="snapshot",
            what=f"{one.name}, an old snapshot held for {seconds:.0f} s : none",
            on=run.on,
            ours=pace(held[one.name]),
            beside=pace(without),
            ratio=held[one.name] / without,
            target=0.9,
            note=f"medians of {ROUNDS} rounds of {size} events: before"
            f" {pace(before[one.name])}, after {pace(after[one.name])}.",
        )


def _rounds(run: Run, compared: Sequence[Candidate], size: int) -> dict[str, float]:
    found: dict[str, list[float]] = {one.name: [] for one in compared}
    for _ in range(ROUNDS):
        for one in compared:
            found[one.name].append(one.rate(size))
    paces = {name: statistics.median(rates) for name, rates in found.items()}
    run.log(", ".join(f"{name}: {pace(rate)}" for name, rate in paces.items()))
    return paces


def _log(run: Run, ours: Candidate) -> Row:
    fixtures.clear_with_retries()
    times = max(3, run.plan.repetitions)
    empty = [1 / ours.rate(run.plan.events) for _ in range(times)]
    run.log(f"filling the log with {run.plan.log_rows:,} events")
    fixtures.fill_log(run.plan.log_rows)
    full = [1 / ours.rate(run.plan.events) for _ in range(times)]
    fixtures.clear_with_retries()
    empty += [1 / ours.rate(run.plan.events) for _ in range(times)]
    with_past, without = statistics.median(full), statistics.median(empty)
    return Row(
        name="log",
        what=f"cost per event, log of {run.plan.log_rows:,} : empty",
        on=run.on,
        ours=f"{with_past * 1e6:.0f} µs",
        beside=f"{without * 1e6:.0f} µs",
        ratio=with_past / without,
        target=1.1,
        at_most=True,
        note="the empty log is measured before and after.",
    )


@contextmanager
def _old_snapshot() -> Iterator[None]:
    holder = connection.copy("holder")
    try:
        with holder.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT count(*) FROM benchshop_stock")
            yield
            cursor.execute("ROLLBACK")
    finally:
        holder.close()
