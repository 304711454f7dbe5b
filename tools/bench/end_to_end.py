"""From a commit to its effect: the candidates run alternately, under the same load."""

import statistics
import time
from collections.abc import Iterator
from uuid import uuid4

from django.db import transaction

from tools.bench import candidates, fixtures
from tools.bench.candidates import Candidate
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.timing import pace, quantile, ratio

EVENTS_PER_SECOND = 20  # events of a latency measurement
# Celery alone is slower, so it gets fewer events.
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
    """Measure throughput and latency of all candidates."""
    workers = run.plan.workers
    ours, raw = candidates.bus(workers), candidates.limit(workers)
    tuned, plain = candidates.celery_tuned(workers), candidates.celery(workers)
    run.log("starting all candidates")
    with candidates.running(run.folder, ours, raw, tuned, plain):
        keyless = candidates.bus(workers, "GoodsGiven", "bus without key")
        batched = candidates.bus(workers, "GoodsShipped", "bus, batch=True")
        keyless.processes = batched.processes = ours.processes
        if run.plan.wants("end-to-end"):
            yield from _end_to_end(run, [ours, keyless, batched, raw, tuned, plain])
        if run.plan.wants("latency"):
            yield from _latency(run, [ours, raw, tuned, plain])


def _end_to_end(run: Run, compared: list[Candidate]) -> Iterator[Row]:
    rates: dict[str, list[float]] = {one.name: [] for one in compared}
    costs: dict[str, list[float]] = {one.name: [] for one in compared}
    for _ in run.rounds("end to end"):
        for one in compared:
            fixtures.clear_with_retries()
            events = run.plan.events // SHARE.get(one.name, 1)
            with one.resumed():
                used = one.cpu_seconds()
                rates[one.name].append(one.rate(events))
                costs[one.name].append((one.cpu_seconds() - used) / events * 1e6)
            run.log(f"end to end, {one.name}: {pace(rates[one.name][-1])}")
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
            note=f"CPU time of its processes, µs per event: {cost[ours]:.0f} : {cost[beside]:.0f}.",
        )


def _latency(run: Run, compared: list[Candidate]) -> Iterator[Row]:
    found: dict[str, list[float]] = {one.name: [] for one in compared}
    for _ in run.rounds("commit → effect"):
        for one in compared:
            fixtures.clear_with_retries()
            with one.resumed():
                _trickle(one, run.plan.latency_seconds)
            found[one.name] += fixtures.latencies()
            run.log(f"commit → effect, {one.name}: p50 {quantile(found[one.name], 50):.1f} ms")
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
                note=f"{EVENTS_PER_SECOND} events/s, {len(found['bus'])} of them; the limit:"
                f" {times['limit']:.1f} ms.",
            )


def _trickle(one: Candidate, seconds: float) -> None:
    """Make checkouts at an even pace, and wait for their effects."""
    from benchshop.models import Checkout

    count, began = int(seconds * EVENTS_PER_SECOND), time.monotonic()
    for n in range(count):
        time.sleep(max(0.0, began + n / EVENTS_PER_SECOND - time.monotonic()))
        with transaction.atomic():
            checkout = Checkout.objects.create(id=uuid4())
            one.publish(checkout.pk)
    fixtures.wait_for_effects(count)
