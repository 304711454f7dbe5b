"""The measurements on PostgreSQL and a broker, the quick ones first."""

from collections.abc import Iterator

from tools.bench import (
    checkout,
    end_to_end,
    fixtures,
    queues,
    rebuild,
    relay,
    requests,
    snapshot_and_log,
)
from tools.bench.report import Row
from tools.bench.run import Run

ONCE = "Valkey"  # measurements that do not depend on the broker run once, with this one


def rows(run: Run) -> Iterator[Row]:
    """Run the measurements of the plan, and delete their queues."""
    queues.delete()
    fixtures.build()
    try:
        yield from _measurements(run)
    finally:
        queues.delete()


def _measurements(run: Run) -> Iterator[Row]:
    run.log(f"payload of an event: {fixtures.payload_bytes()} bytes")
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
        yield rebuild.row(run)
