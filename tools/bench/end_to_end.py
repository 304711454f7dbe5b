"""From a commit to its effect: all contenders by turns, so that all have the same neighbours."""

import statistics
import time
from collections.abc import Iterator
from uuid import uuid4

from django.db import transaction

from tools.bench import contenders, fixtures
from tools.bench.contenders import Contender
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.stopwatch import pace, quantile, ratio

PER_SECOND = 20  # events of a latency measurement
# Bare Celery takes a tenth of the pace, so it gets fewer events.
SHARE = {"celery tuned": 3, "celery": 10}
PAIRS = (
    ("bus", "limit", 0.6),
    ("bus", "celery tuned", 5.0),
    ("bus", "celery", None),
    ("bus without key", "limit", None),
    ("bus without key", "celery tuned", None),
    ("bus, batch=True", "limit", None),
    ("bus, batch=True", "celery tuned", None),
    ("limit", "celery tuned", None),
)


def rows(run: Run) -> Iterator[Row]:
    """Let them run, all on one stage."""
    workers = run.plan.workers
    ours, raw = contenders.bus(workers), contenders.limit(workers)
    tuned, plain = contenders.tuned(workers), contenders.plain(workers)
    run.say("starting relay, workers, and those beside them")
    with contenders.on_stage(run.folder, ours, raw, tuned, plain):
        keyless = contenders.bus(workers, "GoodsGiven", "bus without key")
        batched = contenders.bus(workers, "GoodsShipped", "bus, batch=True")
        keyless.processes = batched.processes = ours.processes
        if run.plan.wants("end-to-end"):
            yield from _end_to_end(run, [ours, keyless, batched, raw, tuned, plain])
        if run.plan.wants("latency"):
            yield from _latency(run, [ours, raw, tuned, plain])


def _end_to_end(run: Run, field: list[Contender]) -> Iterator[Row]:
    rates: dict[str, list[float]] = {one.name: [] for one in field}
    costs: dict[str, list[float]] = {one.name: [] for one in field}
    for _ in run.rounds("end to end"):
        for one in field:
            fixtures.clear_patiently()
            events = run.plan.events // SHARE.get(one.name, 1)
            with one.playing():
                used = one.used()
                rates[one.name].append(one.rate(events))
                costs[one.name].append((one.used() - used) / events * 1e6)
            run.say(f"end to end, {one.name}: {pace(rates[one.name][-1])}")
    cost = {name: statistics.median(found) for name, found in costs.items()}
    for ours, beside, target in PAIRS:
        yield Row(
            name="end-to-end",
            what=f"end to end, {ours} : {beside}",
            on=run.on,
            ours=pace(statistics.median(rates[ours])),
            beside=pace(statistics.median(rates[beside])),
            ratio=ratio(rates[ours], rates[beside]),
            target=target,
            note=f"processor time of its own processes, µs an event:"
            f" {cost[ours]:.0f} : {cost[beside]:.0f}.",
        )


def _latency(run: Run, field: list[Contender]) -> Iterator[Row]:
    found: dict[str, list[float]] = {one.name: [] for one in field}
    for _ in run.rounds("commit → effect"):
        for one in field:
            fixtures.clear_patiently()
            with one.playing():
                _trickle(one, run.plan.listen)
            found[one.name] += fixtures.latencies()
            run.say(f"commit → effect, {one.name}: p50 {quantile(found[one.name], 50):.1f} ms")
    for percent, target in ((50, 1.5), (99, 3.0)):
        times = {name: quantile(of, percent) for name, of in found.items()}
        for beside in ("celery", "celery tuned"):
            yield Row(
                name="latency",
                what=f"commit → effect, p{percent} : {beside}",
                on=run.on,
                ours=f"{times['bus']:.1f} ms",
                beside=f"{times[beside]:.1f} ms",
                ratio=times["bus"] / times[beside],
                target=target,
                at_most=True,
                note=f"{PER_SECOND} events/s, {len(found['bus'])} of them; the limit:"
                f" {times['limit']:.1f} ms.",
            )


def _trickle(one: Contender, seconds: float) -> None:
    """Make checkouts at an even pace, and wait until all have had their effect."""
    from benchroom.models import Checkout

    count, began = int(seconds * PER_SECOND), time.monotonic()
    for n in range(count):
        time.sleep(max(0.0, began + n / PER_SECOND - time.monotonic()))
        with transaction.atomic():
            checkout = Checkout.objects.create(id=uuid4())
            one.tell(checkout.pk)
    fixtures.until_effects(count)
