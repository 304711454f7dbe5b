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
    ours = contenders.bus(run.plan.workers)
    with contenders.on_stage(run.folder, ours), ours.playing():
        if run.plan.wants("snapshot"):
            yield _snapshot(run, ours)
        if run.plan.wants("log"):
            yield _log(run, ours)


def _snapshot(run: Run, ours: Contender) -> Row:
    seconds, size = run.plan.snapshot_seconds, max(500, run.plan.events // 5)
    run.say("before an old snapshot is held")
    before = statistics.median(ours.rate(size) for _ in range(ROUNDS))
    held: list[float] = []
    with _old_snapshot():
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(held) < ROUNDS:
            held.append(ours.rate(size))
            run.say(f"an old snapshot is held: {pace(held[-1])}")
    after = statistics.median(ours.rate(size) for _ in range(ROUNDS))
    last, without = statistics.median(held[-ROUNDS:]), statistics.mean((before, after))
    return Row(
        name="snapshot",
        what=f"an old snapshot held for {seconds:.0f} s : none",
        on=run.on,
        ours=pace(last),
        beside=pace(without),
        ratio=last / without,
        target=0.9,
        note=f"{len(held)} rounds of {size} events while it was held, of which the last"
        f" {ROUNDS} count; {ROUNDS} before it ({pace(before)}) and {ROUNDS} after ({pace(after)}).",
    )


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
