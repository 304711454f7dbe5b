"""State follows from the events: replayed from the log, they give the stored state."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from eventbus.models import Event
from inventory.models import StockItem
from orders.models import Order
from payments.models import Payment
from tools.ops.audit import Finding

ORDERS = {"OrderPlaced": "open", "OrderPaid": "paid", "OrderCancelled": "cancelled"}
PAYMENTS = {
    "PaymentCaptured": "captured",
    "PaymentDeclined": "declined",
    "PaymentRefunded": "refunded",
}
STOCK = {"StockReserved": -1, "StockReleased": 1}


def orders() -> Finding:
    """Check the status of orders."""
    finding = Finding("every order has the status of its last event, and versions grow")
    last = dict(_last("orders", ORDERS, finding))
    for id, status in Order.objects.values_list("id", "status"):
        finding.checked += 1
        expected = status if status in ("paid", "cancelled") else "open"
        if last.get(f"order:{id}") != expected:
            finding.violations.append(
                f"order {id} is {status}, last event {last.get(f'order:{id}')}"
            )
    return finding


def payments() -> Finding:
    """Check the status of payments."""
    finding = Finding("every payment has the status of its last event")
    last = dict(_last("payments", PAYMENTS, finding))
    for id, status in Payment.objects.values_list("id", "status"):
        finding.checked += 1
        expected = status if status in PAYMENTS.values() else None
        if last.get(f"payment:{id}") != expected:
            finding.violations.append(
                f"payment {id} is {status}, last event {last.get(f'payment:{id}')}"
            )
    return finding


def stock() -> Finding:
    """Check the available stock."""
    finding = Finding("available stock is the sum of the stock events")
    sums: Counter[str] = Counter()
    for payload in _payloads("inventory.StockReplenished"):
        sums[payload["sku"]] += payload["quantity"]
    for name, sign in STOCK.items():
        for payload in _payloads(f"inventory.{name}"):
            for item in payload["goods"]:
                sums[item["sku"]] += sign * item["quantity"]
    for item in StockItem.objects.all():
        finding.checked += 1
        if item.available != sums[item.sku]:
            finding.violations.append(f"{item}, events {sums[item.sku]}")
    return finding


def _last(context: str, statuses: dict[str, str], finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield the status after each event of each aggregate; versions must grow."""
    versions: dict[str, int] = defaultdict(int)
    events = Event.objects.filter(name__in=[f"{context}.{name}" for name in statuses])
    for event in events.order_by("position").iterator():
        version = event.aggregate_version or 0
        if version <= versions[event.aggregate]:
            finding.violations.append(f"{event.name} of {event.aggregate}: version {version} again")
        versions[event.aggregate] = version
        yield event.aggregate, statuses[event.name.partition(".")[2]]


def _payloads(name: str) -> Iterator[dict[str, Any]]:
    yield from Event.objects.filter(name=name).values_list("payload", flat=True).iterator()


CHECKS: list[Callable[[], Finding]] = [orders, payments, stock]
