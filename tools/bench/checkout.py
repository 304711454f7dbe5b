"""What publishing costs the one who publishes: an order placed with its news, and without."""

import statistics
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from django.db import connection, transaction

from orders import services
from orders.models import Product
from tools.bench import fixtures
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.stopwatch import timed

SKUS = ("tea", "pot")


def rows(run: Run) -> Iterator[Row]:
    """Place orders by turns with and without news; single turns, so that noise is shared."""
    order = shop()
    spoken_trips, silent_trips = _statements(order), _statements(order, silent=True)
    times: list[tuple[float, float]] = []
    for _ in run.rounds("checkouts"):
        pairs = [(_seconds(order), _seconds(order, silent=True)) for _ in range(run.plan.checkouts)]
        spoken, silent = zip(*pairs, strict=True)
        times.append((statistics.median(spoken), statistics.median(silent)))
    ours, beside = (statistics.median(column) for column in zip(*times, strict=True))
    fixtures.clear()
    yield Row(
        name="checkout",
        what="a checkout with its news : without",
        on="PostgreSQL",
        ours=f"{ours * 1000:.2f} ms",
        beside=f"{beside * 1000:.2f} ms",
        ratio=statistics.median(a / b for a, b in times),
        target=1.15,
        at_most=True,
    )
    yield Row(
        name="checkout",
        what="round trips of that, BEGIN and COMMIT apart",
        on="PostgreSQL",
        ours=str(spoken_trips),
        beside=str(silent_trips),
        ratio=spoken_trips - silent_trips,
        target=1,
        at_most=True,
        note="the ratio is the difference here.",
    )


def shop() -> Callable[[], object]:
    """List the goods, once, and return what places an order of two lines."""
    with transaction.atomic(), patch.object(services, "publish"):
        for sku in set(SKUS) - set(Product.objects.values_list("pk", flat=True)):
            services.list_product(sku, sku, Decimal("10.00"), "EUR", "")
    lines = [services.RequestedLine(sku=sku, quantity=2) for sku in SKUS]
    return lambda: services.place_order(uuid4(), lines, "ID")


def _seconds(do: Callable[[], object], silent: bool = False) -> float:
    if silent:
        with patch.object(services, "publish"):
            return timed(do)
    return timed(do)


def _statements(do: Callable[[], object], silent: bool = False) -> int:
    _seconds(do, silent)  # runtime settings, read once a second, are known
    seen: list[str] = []

    def count(execute: Any, statement: str, *rest: Any) -> Any:
        seen.append(statement)
        return execute(statement, *rest)

    with connection.execute_wrapper(count):
        _seconds(do, silent)
    return len(seen)
