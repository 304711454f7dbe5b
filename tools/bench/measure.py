"""The measurements on PostgreSQL and a broker, the quick ones first."""

from collections.abc import Iterator

from tools.bench import brokers, burdens, carrying, checkout, racing, rebuilding, requests, stage
from tools.bench.report import Row
from tools.bench.run import Run

ONCE = "Valkey"  # what does not depend on the broker is measured beside this one


def rows(run: Run) -> Iterator[Row]:
    """Measure what the plan wants, and leave the broker as it was."""
    brokers.remove()
    stage.build()
    try:
        yield from _wanted(run)
    finally:
        brokers.remove()


def _wanted(run: Run) -> Iterator[Row]:
    run.say(f"payload of an event: {stage.payload_bytes()} bytes")
    wants, once = run.plan.wants, run.on == ONCE
    if once and wants("checkout"):
        yield from checkout.rows(run)
    if once and wants("requests"):
        yield requests.row(run)
    if wants("relay"):
        yield from carrying.rows(run)
    if wants("end-to-end") or wants("latency"):
        yield from racing.rows(run)
    if once and (wants("snapshot") or wants("log")):
        yield from burdens.rows(run)
    if once and wants("rebuild"):
        yield rebuilding.row(run)
