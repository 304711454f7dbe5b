"""State is the fold of the events: told again from the log, it comes out as it stands."""

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
GOODS = {"StockReserved": -1, "StockReleased": 1}


def orders() -> Finding:
    """Orders stand as their news says."""
    finding = Finding("every order stands as its events say, told in its versions' order")
    told = dict(_last("orders", ORDERS, finding))
    for id, status in Order.objects.values_list("id", "status"):
        finding.looked_at += 1
        stands = status if status in ("paid", "cancelled") else "open"
        if told.get(f"order:{id}") != stands:
            finding.against.append(f"order {id} is {status}, told {told.get(f'order:{id}')}")
    return finding


def payments() -> Finding:
    """Payments stand as their news says."""
    finding = Finding("every payment stands as its events say")
    told = dict(_last("payments", PAYMENTS, finding))
    for id, status in Payment.objects.values_list("id", "status"):
        finding.looked_at += 1
        stands = status if status in PAYMENTS.values() else None
        if told.get(f"payment:{id}") != stands:
            finding.against.append(f"payment {id} is {status}, told {told.get(f'payment:{id}')}")
    return finding


def shelves() -> Finding:
    """What can be had is what was told to come and go."""
    finding = Finding("what can be had is the sum of what was told to come and go")
    had: Counter[str] = Counter()
    for payload in _payloads("inventory.StockReplenished"):
        had[payload["sku"]] += payload["quantity"]
    for name, sign in GOODS.items():
        for payload in _payloads(f"inventory.{name}"):
            for item in payload["goods"]:
                had[item["sku"]] += sign * item["quantity"]
    for item in StockItem.objects.all():
        finding.looked_at += 1
        if item.available != had[item.sku]:
            finding.against.append(f"{item}, told {had[item.sku]}")
    return finding


def _last(context: str, meaning: dict[str, str], finding: Finding) -> Iterator[tuple[str, str]]:
    """Return what the last event about each thing means; versions must not go backwards."""
    versions: dict[str, int] = defaultdict(int)
    told = Event.objects.filter(name__in=[f"{context}.{name}" for name in meaning])
    for event in told.order_by("position").iterator():
        version = event.aggregate_version or 0
        if version <= versions[event.aggregate]:
            finding.against.append(f"{event.name} of {event.aggregate}: version {version} again")
        versions[event.aggregate] = version
        yield event.aggregate, meaning[event.name.partition(".")[2]]


def _payloads(name: str) -> Iterator[dict[str, Any]]:
    yield from Event.objects.filter(name=name).values_list("payload", flat=True).iterator()


CHECKS: list[Callable[[], Finding]] = [orders, payments, shelves]
