"""What the bus carries besides: a snapshot that nobody closes, and a log with a long past."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from tools.bench import contenders, stage
from tools.bench.contenders import Contender
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.stopwatch import pace

ROUNDS = 5  # at the end of the snapshot's life, and before it


def rows(run: Run) -> Iterator[Row]:
    """Run the bus end to end under each burden, and without."""
    ours, raw = contenders.bus(run.plan.workers), contenders.limit(run.plan.workers)
    with contenders.on_stage(run.folder, ours, raw):
        if run.plan.wants("snapshot"):
            yield from _snapshot(run, [ours, raw])
        if run.plan.wants("log"):
            with ours.playing():
                yield _log(run, ours)


def _snapshot(run: Run, field: list[Contender]) -> Iterator[Row]:
    """Let the bus run on under a snapshot; then both, as the handler's own rows age, too."""
    seconds, size = run.plan.snapshot_seconds, max(500, run.plan.events // 5)
    ours = field[0]
    before = _paces(field, size)
    with _old_snapshot():
        end = time.monotonic() + seconds
        with ours.playing():
            while time.monotonic() < end:
                run.say(f"an old snapshot is held: {pace(ours.rate(size))}")
        held = _paces(field, size)
    after = _paces(field, size)
    for one in field:
        without = statistics.mean((before[one.name], after[one.name]))
        yield Row(
            name="snapshot",
            what=f"{one.name}, an old snapshot held for {seconds:.0f} s : none",
            on=run.on,
            ours=pace(held[one.name]),
            beside=pace(without),
            ratio=held[one.name] / without,
            target=0.9 if one is ours else None,
            note=f"medians of {ROUNDS} rounds of {size} events: before"
            f" {pace(before[one.name])}, after {pace(after[one.name])}.",
        )


def _paces(field: list[Contender], size: int) -> dict[str, float]:
    found = {}
    for one in field:
        with one.playing():
            found[one.name] = statistics.median(one.rate(size) for _ in range(ROUNDS))
    return found


def _log(run: Run, ours: Contender) -> Row:
    stage.clear_patiently()
    times = max(3, run.plan.repetitions)
    empty = [1 / ours.rate(run.plan.events) for _ in range(times)]
    run.say(f"filling the log with {run.plan.log_rows:,} events")
    stage.fill_log(run.plan.log_rows)
    full = [1 / ours.rate(run.plan.events) for _ in range(times)]
    stage.clear_patiently()
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
