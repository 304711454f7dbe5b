"""The cost of publishing: an order placed with and without its event."""

import statistics
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from django.db import connection, transaction

from orders import services
from orders.models import Product
from orders.services import catalogue, placing
from tools.bench import fixtures
from tools.bench.report import Row
from tools.bench.run import Run
from tools.bench.timing import timed

SKUS = ("tea", "pot")


def rows(run: Run) -> Iterator[Row]:
    """Place orders alternately with and without events, so that both have the same noise."""
    order = shop()
    with_event_trips, without_event_trips = (
        _statements(order),
        _statements(order, without_event=True),
    )
    times: list[tuple[float, float]] = []
    for _ in run.rounds("checkouts"):
        pairs = [
            (_seconds(order), _seconds(order, without_event=True))
            for _ in range(run.plan.checkouts)
        ]
        with_event, without_event = zip(*pairs, strict=True)
        times.append((statistics.median(with_event), statistics.median(without_event)))
    ours, beside = (statistics.median(column) for column in zip(*times, strict=True))
    fixtures.clear()
    yield Row(
        name="checkout",
        what="checkout with its event : without",
        on="PostgreSQL",
        ours=f"{ours * 1000:.2f} ms",
        beside=f"{beside * 1000:.2f} ms",
        ratio=statistics.median(a / b for a, b in times),
        target=1.15,
        at_most=True,
    )
    yield Row(
        name="checkout",
        what="round trips of it, without BEGIN and COMMIT",
        on="PostgreSQL",
        ours=str(with_event_trips),
        beside=str(without_event_trips),
        ratio=with_event_trips - without_event_trips,
        target=1,
        at_most=True,
        note="here the ratio is the difference.",
    )


def shop() -> Callable[[], object]:
    """List the products once, and return a function that places an order of two lines."""
    with transaction.atomic(), patch.object(catalogue, "publish"):
        for sku in set(SKUS) - set(Product.objects.values_list("pk", flat=True)):
            services.list_product(sku, sku, Decimal("10.00"), "EUR", "")
    lines = [services.RequestedLine(sku=sku, quantity=2) for sku in SKUS]
    return lambda: services.place_order(uuid4(), lines, "ID")


def _seconds(do: Callable[[], object], without_event: bool = False) -> float:
    if without_event:
        with patch.object(placing, "publish"):
            return timed(do)
    return timed(do)


def _statements(do: Callable[[], object], without_event: bool = False) -> int:
    _seconds(do, without_event)  # the first call reads runtime settings
    seen: list[str] = []

    def count(execute: Any, statement: str, *rest: Any) -> Any:
        seen.append(statement)
        return execute(statement, *rest)

    with connection.execute_wrapper(count):
        _seconds(do, without_event)
    return len(seen)
