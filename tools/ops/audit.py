"""Compares stock, money, orders, figures and deliveries; each check is a claim about all rows."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Sum

from analytics import queries as analytics
from eventbus.models import Dispatch, Outbox, Retry
from eventbus.operations import completeness
from inventory.models import Movement, Reservation, StockItem
from orders.models import Availability, Order, OrderLine
from payments.models import Payment


@dataclass
class Finding:
    """A claim, the number of rows checked, and the rows that violate it."""

    claim: str
    checked: int = 0
    violations: list[str] = field(default_factory=list)
    detail: str = ""


AMOUNT = F("quantity") * F("unit_price")
Check = Callable[[], Finding]


def run() -> Iterator[Finding]:
    """Run every check."""
    for check in CHECKS:
        yield check()


def under_way() -> int:
    """Return the number of undelivered messages; until it is 0, contexts may differ."""
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
    """Compare the catalogue with inventory."""
    finding = Finding("the catalogue shows the stock of inventory")
    shown = dict(Availability.objects.values_list("sku", "available"))
    for item in StockItem.objects.iterator():
        finding.checked += 1
        if shown.get(item.sku, 0) != item.available:
            finding.violations.append(f"{item}, but {shown.get(item.sku, 0)} shown")
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
    held: dict[UUID, list[tuple[Decimal, str]]] = defaultdict(list)
    captured = Payment.objects.filter(status="captured")
    for id, amount, currency in captured.values_list("order_id", "amount", "currency"):
        held[id].append((amount, currency))
    for order in Order.objects.iterator():
        finding.checked += 1
        due = [(order.total, order.currency)] if order.status == "paid" else []
        if held.pop(order.pk, []) != due:
            finding.violations.append(f"{order} is {order.status}, its payments differ")
    finding.violations += [f"payment of an unknown order: {id}" for id in held]
    return finding


def goods() -> Finding:
    """Compare the status of orders with their reservations."""
    finding = Finding("every paid order has its goods, and no cancelled order has any")
    states = dict(Reservation.objects.values_list("order_id", "state"))
    for id, status in Order.objects.values_list("id", "status"):
        finding.checked += 1
        state = states.get(id, "")
        if (status == "paid") != (state == "sold") or (status, state) == ("cancelled", "reserved"):
            finding.violations.append(
                f"order {id} is {status}, its goods are {state or 'not reserved'}"
            )
    return finding


def figures() -> Finding:
    """Compare analytics with orders."""
    finding = Finding("analytics agrees with the paid orders")
    figures_by_sku = counted("product")
    sold = OrderLine.objects.filter(order__paid_at__isnull=False).values("sku")
    for row in sold.annotate(n=Sum("quantity"), sum=Sum(AMOUNT)):
        finding.checked += 1
        if figures_by_sku.get(row["sku"]) != (row["n"], _money(row["sum"])):
            finding.violations.append(f"{row['sku']}: {figures_by_sku.get(row['sku'])}, sold {row}")
    return finding


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


def counted(group_by: str, currency: str | None = None) -> dict[str, tuple[int, Decimal]]:
    """Return units and revenue from analytics, by day, product or country."""
    rows = analytics.sales(group_by)
    return {r.key: (r.units, _money(r.revenue)) for r in rows if currency in (None, r.currency)}


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
    complete,
]
