"""What the bus carries besides: a snapshot that nobody closes, and a log with a long past."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection

from tools.bench import contenders, fixtures
from tools.bench.contenders import Contender
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.stopwatch import pace

ROUNDS = 3  # of a median


def rows(run: Run) -> Iterator[Row]:
    """Run the bus end to end under each burden, and without."""
    ours = contenders.bus(run.plan.workers)
    with contenders.on_stage(run.folder, ours), ours.playing():
        if run.plan.wants("snapshot"):
            adding = contenders.bus(run.plan.workers, "GoodsNoted", "bus, rows only added")
            yield from _snapshot(run, adding, ours)
        if run.plan.wants("log"):
            yield _log(run, ours)


def _snapshot(run: Run, *field: Contender) -> Iterator[Row]:
    """Let events come by turns until the snapshot is old; its last rounds count."""
    seconds, size = run.plan.snapshot_seconds, max(500, run.plan.events // 5)
    before = _rounds(run, field, size)
    with _old_snapshot():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            held = _rounds(run, field, size)
    after = _rounds(run, field, size)
    for one in field:
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


def _rounds(run: Run, field: Sequence[Contender], size: int) -> dict[str, float]:
    found: dict[str, list[float]] = {one.name: [] for one in field}
    for _ in range(ROUNDS):
        for one in field:
            found[one.name].append(one.rate(size))
    paces = {name: statistics.median(rates) for name, rates in found.items()}
    run.say(", ".join(f"{name}: {pace(rate)}" for name, rate in paces.items()))
    return paces


def _log(run: Run, ours: Contender) -> Row:
    fixtures.clear_patiently()
    times = max(3, run.plan.repetitions)
    empty = [1 / ours.rate(run.plan.events) for _ in range(times)]
    run.say(f"filling the log with {run.plan.log_rows:,} events")
    fixtures.fill_log(run.plan.log_rows)
    full = [1 / ours.rate(run.plan.events) for _ in range(times)]
    fixtures.clear_patiently()
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
            cursor.execute("SELECT count(*) FROM benchroom_stock")
            yield
            cursor.execute("ROLLBACK")
    finally:
        holder.close()
