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
from tools.bench.fixtures import NOTE, effects, sql, wait_for_effects
from tools.bench.plan import Plan
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.timing import pace


def rows(run: Run) -> Iterator[Row]:
    """Measure the relay's thread alone, and with clients that publish."""
    plan = run.plan
    call_command("migrate", run_syncdb=True, verbosity=0)
    _stock()
    embedded.start()
    _seconds(20)
    rounds = run.rounds("embedded")
    rate = statistics.median(plan.embedded / _seconds(plan.embedded) for _ in rounds)
    yield Row(
        name="embedded",
        what="events/s through one process",
        on="SQLite",
        ours=pace(rate),
        beside="",
        ratio=rate,
        target=500,
    )
    yield _with_clients(plan)
    embedded.stop()


def _with_clients(plan: Plan) -> Row:
    before, each = effects(), max(10, plan.embedded // plan.clients // 2)
    errors: list[str] = []
    barrier = threading.Barrier(plan.clients)

    def client() -> None:
        barrier.wait()
        for _ in range(each):
            try:
                _publish(1)
            except OperationalError as error:
                errors.append(str(error))
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(plan.clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    published = time.perf_counter() - began
    count = plan.clients * each - len(errors)
    took = wait_for_effects(before + count) - began
    return Row(
        name="embedded",
        what=f'{plan.clients} clients at once: "database is locked"',
        on="SQLite",
        ours=f"{len(errors)} times",
        beside="",
        ratio=float(len(errors)),
        target=0,
        at_most=True,
        note=f"{count} events published in {published:.1f} s, all handled after {took:.1f} s.",
    )


def _seconds(count: int) -> float:
    """Return the seconds from the commit of so many events to the last effect."""
    before = effects()
    with transaction.atomic():
        _publish(count)
        began = time.perf_counter()
    return wait_for_effects(before + count) - began


@transaction.atomic
def _publish(count: int) -> None:
    from benchshop.events import GoodsSold

    for n in range(count):
        stock = 1 + n * 37 % 100
        publish(GoodsSold(checkout_id=uuid4(), stock_id=stock, quantity=1, note=NOTE))


def _stock() -> None:
    for n in range(1, 101):
        sql("INSERT INTO benchshop_stock (id, quantity) VALUES (%s, 1000000)", n)
