"""Compares stock, money, orders, figures and deliveries; each check is a claim about all rows.

A comparison of two contexts leaves out, and counts, the rows with an event under way between them:
in one snapshot no others may differ. Where a context adds up events, those under way are added.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Sum

from analytics import queries as analytics
from analytics.models import SaleLine
from eventbus.models import Dispatch, Duplicates, Event, Outbox, Retry
from eventbus.operations import completeness, months, streams
from eventbus.operations.under_way import aggregates_under_way, events_under_way
from inventory.models import Movement, Reservation, StockItem
from orders.models import Availability, Order, OrderLine
from payments.models import Payment


@dataclass
class Finding:
    """A claim, the number of rows checked, and the rows that violate it.

    `under_way`: orders left out, since an event about them is under way.
    """

    claim: str
    checked: int = 0
    violations: list[str] = field(default_factory=list)
    detail: str = ""
    under_way: int = 0


AMOUNT = F("quantity") * F("unit_price")
AVAILABILITY = [
    f"orders.{verb}_availability" for verb in ("reduce", "restore", "raise")
]  # the consumers that add it up
# An aggregate has each of them once in its life.
ONCE = [f"orders.{name}" for name in ("OrderPlaced", "OrderPaid", "OrderCancelled")]
ONCE += [f"payments.{name}" for name in ("PaymentCaptured", "PaymentDeclined", "PaymentRefunded")]
Check = Callable[[], Finding]


def run() -> Iterator[Finding]:
    """Run every check."""
    for check in CHECKS:
        yield check()


def under_way() -> int:
    """Return the number of undelivered messages, without dead letters."""
    return Outbox.objects.count() + Dispatch.objects.count() + Retry.objects.count()


def ledger() -> Finding:
    """Compare the quantities with the movements."""
    finding = Finding("every quantity is the sum of its movements, and none is oversold")
    sums = {
        row["sku"]: (row["h"], row["r"])
        for row in Movement.objects.values("sku").annotate(h=Sum("on_hand"), r=Sum("reserved"))
    }
    for item in StockItem.objects.iterator():
        finding.checked += 1
        if (item.on_hand, item.reserved) != sums.get(item.sku, (0, 0)):
            finding.violations.append(f"{item}: movements say {sums.get(item.sku)}")
        if not 0 <= item.reserved <= item.on_hand:
            finding.violations.append(f"{item}: {item.reserved} reserved of {item.on_hand}")
    return finding


def reservations() -> Finding:
    """Compare reserved quantities with reservations."""
    finding = Finding("every reserved quantity is the sum of open reservations")
    held: dict[str, int] = defaultdict(int)
    for goods in Reservation.objects.filter(state="reserved").values_list("goods", flat=True):
        for sku, pieces in goods.items():
            held[sku] += pieces
    for item in StockItem.objects.iterator():
        finding.checked += 1
        if item.reserved != held[item.sku]:
            finding.violations.append(
                f"{item.sku}: {item.reserved} reserved, {held[item.sku]} held"
            )
    return finding


def availability() -> Finding:
    """Compare the catalogue with inventory; it adds up events, so those under way are added."""
    finding = Finding("the catalogue shows the stock of inventory")
    shown: Counter[str] = Counter()
    shown.update(dict(Availability.objects.values_list("sku", "available")))
    coming: Counter[str] = Counter()
    for number, event in enumerate(events_under_way(*AVAILABILITY).iterator(), 1):
        finding.detail = f"{number:,} events still under way are added"
        sign = -1 if event.name == "inventory.StockReserved" else 1
        for item in event.payload.get("goods", [event.payload]):
            coming[item["sku"]] += sign * item["quantity"]
    for item in StockItem.objects.iterator():
        finding.checked += 1
        expected = shown.pop(item.sku, 0) + coming.pop(item.sku, 0)
        if expected != item.available:
            finding.violations.append(f"{item}, but {expected} shown or under way")
    unknown = ((sku, pieces) for sku, pieces in shown.items() if pieces)
    finding.violations += [
        f"{sku}: {pieces} shown, unknown to inventory" for sku, pieces in unknown
    ]
    return finding


def totals() -> Finding:
    """Compare the totals of orders with their lines."""
    finding = Finding("every total is the sum of the order's lines")
    lines = OrderLine.objects.values("order_id").annotate(sum=Sum(AMOUNT))
    sums = {row["order_id"]: _money(row["sum"]) for row in lines}
    for id, total in Order.objects.values_list("id", "total"):
        finding.checked += 1
        if total != sums.get(id):
            finding.violations.append(f"order {id}: {total}, its lines {sums.get(id)}")
    return finding


def money() -> Finding:
    """Compare paid orders with captured payments."""
    finding = Finding("every paid order has one captured payment, and no other order has one")
    left_out = _orders_under_way("orders", "payments")
    held: dict[UUID, list[tuple[Decimal, str]]] = defaultdict(list)
    captured = Payment.objects.filter(status="captured")
    for id, amount, currency in captured.values_list("order_id", "amount", "currency"):
        held[id].append((amount, currency))
    for order in _compared(finding, left_out):
        due = [(order.total, order.currency)] if order.status == "paid" else []
        if held.pop(order.pk, []) != due:
            finding.violations.append(f"{order} is {order.status}, its payments differ")
    unknown = held.keys() - left_out
    finding.violations += [f"payment of an unknown order: {id}" for id in unknown]
    return finding


def goods() -> Finding:
    """Compare the status of orders with their reservations."""
    finding = Finding("every paid order has its goods, and no cancelled order has any")
    states = dict(Reservation.objects.values_list("order_id", "state"))
    for order in _compared(finding, _orders_under_way("orders", "inventory")):
        status, state = order.status, states.get(order.pk, "")
        if (status == "paid") != (state == "sold") or (status, state) == ("cancelled", "reserved"):
            finding.violations.append(
                f"{order} is {status}, its goods are {state or 'not reserved'}"
            )
    return finding


def figures() -> Finding:
    """Compare analytics with orders, by product."""
    finding = Finding("analytics agrees with the paid orders")
    left_out = _orders_under_way("analytics")
    paid = OrderLine.objects.filter(order__paid_at__isnull=False).exclude(order_id__in=left_out)
    sold = _by_sku(paid.values_list("sku").annotate(Sum("quantity"), sum=Sum(AMOUNT)))
    lines = SaleLine.objects.exclude(order_id__in=left_out)
    shown = _by_sku(lines.values_list("sku").annotate(Sum("quantity"), Sum("amount")))
    for sku in sorted(sold.keys() | shown.keys()):
        finding.checked += 1
        if shown.get(sku) != sold.get(sku):
            finding.violations.append(f"{sku}: {shown.get(sku)} counted, {sold.get(sku)} sold")
    finding.under_way = len(left_out)
    return finding


def numbered() -> Finding:
    """Check the versions of aggregates in the log."""
    finding = Finding("streams without holes: versions are 1, 2, 3 …, without holes or doubles")
    finding.checked, finding.violations = streams.count(), streams.broken()
    return finding


def doubled() -> Finding:
    """Look for effects that one event had twice."""
    finding = Finding(
        "no effect is doubled: an event moved stock once, an order or payment ended once"
    )
    kinds = ["kind", "sku", "cause", "order_id"]
    causes = Movement.objects.filter(order_id__isnull=False).order_by().values_list(*kinds)
    for kind, sku, cause, _, times in causes.annotate(n=Count("pk")).iterator():
        finding.checked += 1
        if times > 1:
            finding.violations.append(f"{sku} was {kind} {times} times by {cause}")
    ends = Event.objects.filter(name__in=ONCE).order_by().values_list("name", "aggregate")
    for name, aggregate, times in ends.annotate(n=Count("pk")).iterator():
        finding.checked += 1
        if times > 1:
            finding.violations.append(f"{name} of {aggregate} was published {times} times")
    finding.detail = f"{sum(absorbed().values()):,} duplicate deliveries were absorbed by the inbox"
    return finding


def absorbed() -> dict[str, int]:
    """Return the duplicate deliveries that had no effect, by consumer."""
    return dict(Duplicates.objects.order_by("consumer").values_list("consumer", "absorbed"))


def complete() -> Finding:
    """Check that each delivery owed has a state, as of one moment, also on a busy shop."""
    finding = Finding("every delivery owed is handled, under way, retried, dead or discarded")
    found = completeness.measure()
    finding.checked, finding.detail = found.total["owed"], str(found)
    if found.total[completeness.LOST]:
        finding.violations = [
            f"{consumer} never handled {id}" for consumer, id in completeness.lost()
        ]
    return finding


def coming_months() -> Finding:
    """Check that the log and the inbox have partitions for the next month."""
    finding = Finding("the log and the inbox are ready for the next month")
    finding.violations = months.missing()
    return finding


def counted(group_by: str, currency: str | None = None) -> dict[str, tuple[int, Decimal]]:
    """Return units and revenue from analytics, by day, product or country."""
    rows = analytics.sales(group_by)
    return {r.key: (r.units, _money(r.revenue)) for r in rows if currency in (None, r.currency)}


def _orders_under_way(*contexts: str) -> set[UUID]:
    """Return the orders with an event under way to a context, about them or their payments."""
    ids: dict[str, set[UUID]] = defaultdict(set)
    for aggregate in aggregates_under_way(*contexts):
        kind, _, id = aggregate.partition(":")
        if kind in ("order", "payment"):
            ids[kind].add(UUID(id))
    paid = Payment.objects.filter(pk__in=ids["payment"]).values_list("order_id", flat=True)
    return ids["order"].union(paid)


def _compared(finding: Finding, left_out: set[UUID]) -> Iterator[Order]:
    """Yield the orders to compare, and count both these and those left out."""
    for order in Order.objects.iterator():
        if order.pk in left_out:
            finding.under_way += 1
        else:
            finding.checked += 1
            yield order


def _by_sku(rows: Iterable[Any]) -> dict[str, tuple[int, Decimal]]:
    return {sku: (units, _money(sum)) for sku, units, sum in rows}


def _money(amount: Decimal) -> Decimal:
    """Round to cents: SQLite sums decimals as floats."""
    return round(amount, 2)


CHECKS: list[Check] = [
    ledger,
    reservations,
    availability,
    totals,
    money,
    goods,
    figures,
    numbered,
    doubled,
    complete,
    coming_months,
]
