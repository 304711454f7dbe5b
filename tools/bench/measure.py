"""The measurements on PostgreSQL and a broker, the quick ones first."""

from collections.abc import Iterator

from tools.bench import (
    brokers,
    checkout,
    end_to_end,
    fixtures,
    rebuilding,
    relay,
    requests,
    snapshot_and_log,
)
from tools.bench.report import Row
from tools.bench.run import Run

ONCE = "Valkey"  # what does not depend on the broker is measured beside this one


def rows(run: Run) -> Iterator[Row]:
    """Measure what the plan wants, and leave the broker as it was."""
    brokers.remove()
    fixtures.build()
    try:
        yield from _wanted(run)
    finally:
        brokers.remove()


def _wanted(run: Run) -> Iterator[Row]:
    run.say(f"payload of an event: {fixtures.payload_bytes()} bytes")
    wants, once = run.plan.wants, run.on == ONCE
    if once and wants("checkout"):
        yield from checkout.rows(run)
    if once and wants("requests"):
        yield requests.row(run)
    if wants("relay"):
        yield from relay.rows(run)
    if wants("end-to-end") or wants("latency"):
        yield from end_to_end.rows(run)
    if once and (wants("snapshot") or wants("log")):
        yield from snapshot_and_log.rows(run)
    if once and wants("rebuild"):
        yield rebuilding.row(run)
