"""The embedded bus: one process, SQLite, no broker."""

import statistics
import threading
import time
from collections.abc import Iterator
from uuid import uuid4

from django.core.management import call_command
from django.db import OperationalError, connection, transaction

from eventbus import publish
from eventbus.relay import embedded
from tools.bench.fixtures import NOTE, effects, sql, until_effects
from tools.bench.plan import Plan
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.stopwatch import pace


def rows(run: Run) -> Iterator[Row]:
    """Measure the relay's thread alone, and beside clients that publish."""
    plan = run.plan
    call_command("migrate", run_syncdb=True, verbosity=0)
    _shelves()
    embedded.start()
    _carried(20)
    rounds = run.rounds("embedded")
    rate = statistics.median(plan.embedded / _carried(plan.embedded) for _ in rounds)
    yield Row(
        name="embedded",
        what="events/s through one process",
        on="SQLite",
        ours=pace(rate),
        beside="",
        ratio=rate,
        target=500,
    )
    yield _crowd(plan)
    embedded.stop()


def _crowd(plan: Plan) -> Row:
    before, each = effects(), max(10, plan.embedded // plan.clients // 2)
    refusals: list[str] = []
    barrier = threading.Barrier(plan.clients)

    def client() -> None:
        barrier.wait()
        for _ in range(each):
            try:
                _publish(1)
            except OperationalError as refusal:
                refusals.append(str(refusal))
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(plan.clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    published = time.perf_counter() - began
    told = plan.clients * each - len(refusals)
    took = until_effects(before + told) - began
    return Row(
        name="embedded",
        what=f'{plan.clients} clients at once: "database is locked"',
        on="SQLite",
        ours=f"{len(refusals)} times",
        beside="",
        ratio=float(len(refusals)),
        target=0,
        at_most=True,
        note=f"{told} events published in {published:.1f} s, all handled after {took:.1f} s.",
    )


def _carried(count: int) -> float:
    """Return the seconds from the commit of so many events to the last effect."""
    before = effects()
    with transaction.atomic():
        _publish(count)
        began = time.perf_counter()
    return until_effects(before + count) - began


@transaction.atomic
def _publish(count: int) -> None:
    from benchroom.events import GoodsSold

    for n in range(count):
        stock = 1 + n * 37 % 100
        publish(GoodsSold(checkout_id=uuid4(), stock_id=stock, quantity=1, note=NOTE))


def _shelves() -> None:
    for n in range(1, 101):
        sql("INSERT INTO benchroom_stock (id, quantity) VALUES (%s, 1000000)", n)
