"""Whether stock, money, orders and figures agree, on any database: each check is a sentence."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, Sum

from analytics import queries as analytics
from eventbus.models import (
    DeadLetter,
    DiscardedDeadLetter,
    Dispatch,
    Event,
    Inbox,
    Outbox,
    Retry,
    Subscription,
)
from inventory.models import Movement, Reservation, StockItem
from orders.models import Availability, Order, OrderLine
from payments.models import Payment


@dataclass
class Finding:
    """One check: what it says, how much it looked at, and what contradicts it."""

    says: str
    looked_at: int = 0
    against: list[str] = field(default_factory=list)
    unknown: bool = False


AMOUNT = F("quantity") * F("unit_price")
Check = Callable[[], Finding]


def run() -> Iterator[Finding]:
    """Make every check."""
    for check in CHECKS:
        yield check()


def under_way() -> int:
    """Return how much news is not delivered: until it is, contexts may differ honestly."""
    return Outbox.objects.count() + Dispatch.objects.count() + Retry.objects.count()


def ledger() -> Finding:
    """Quantities are the sums of the movements."""
    finding = Finding("every quantity is the sum of its movements, and none is oversold")
    sums = {
        row["sku"]: (row["h"], row["r"])
        for row in Movement.objects.values("sku").annotate(h=Sum("on_hand"), r=Sum("reserved"))
    }
    for item in StockItem.objects.iterator():
        finding.looked_at += 1
        if (item.on_hand, item.reserved) != sums.get(item.sku, (0, 0)):
            finding.against.append(f"{item}: the ledger says {sums.get(item.sku)}")
        if not 0 <= item.reserved <= item.on_hand:
            finding.against.append(f"{item}: {item.reserved} reserved of {item.on_hand}")
    return finding


def reservations() -> Finding:
    """What is reserved is what reservations hold."""
    finding = Finding("what is reserved is what open reservations hold")
    held: dict[str, int] = defaultdict(int)
    for goods in Reservation.objects.filter(state="reserved").values_list("goods", flat=True):
        for sku, pieces in goods.items():
            held[sku] += pieces
    for item in StockItem.objects.iterator():
        finding.looked_at += 1
        if item.reserved != held[item.sku]:
            finding.against.append(f"{item.sku}: {item.reserved} reserved, {held[item.sku]} held")
    return finding


def shelves() -> Finding:
    """Orders know what can be had."""
    finding = Finding("the catalogue offers what inventory has")
    offered = dict(Availability.objects.values_list("sku", "available"))
    for item in StockItem.objects.iterator():
        finding.looked_at += 1
        if offered.get(item.sku, 0) != item.available:
            finding.against.append(f"{item}, but {offered.get(item.sku, 0)} offered")
    return finding


def totals() -> Finding:
    """An order costs what its lines cost."""
    finding = Finding("every order costs what its lines cost")
    lines = OrderLine.objects.values("order_id").annotate(sum=Sum(AMOUNT))
    sums = {row["order_id"]: _money(row["sum"]) for row in lines}
    for id, total in Order.objects.values_list("id", "total"):
        finding.looked_at += 1
        if total != sums.get(id):
            finding.against.append(f"order {id}: {total}, its lines {sums.get(id)}")
    return finding


def money() -> Finding:
    """Paid orders are paid for, and nobody else's money is kept."""
    finding = Finding("paid orders are paid for, once, and no other money is kept")
    held: dict[UUID, list[tuple[Decimal, str]]] = defaultdict(list)
    captured = Payment.objects.filter(status="captured")
    for id, amount, currency in captured.values_list("order_id", "amount", "currency"):
        held[id].append((amount, currency))
    for order in Order.objects.iterator():
        finding.looked_at += 1
        due = [(order.total, order.currency)] if order.status == "paid" else []
        if held.pop(order.pk, []) != due:
            finding.against.append(f"{order} is {order.status}, its money is not as it should be")
    finding.against += [f"money of an order nobody knows: {id}" for id in held]
    return finding


def goods() -> Finding:
    """Paid orders have their goods, and nobody else has any."""
    finding = Finding("paid orders have their goods, and cancelled ones have none")
    states = dict(Reservation.objects.values_list("order_id", "state"))
    for id, status in Order.objects.values_list("id", "status"):
        finding.looked_at += 1
        state = states.get(id, "")
        if (status == "paid") != (state == "sold") or (status, state) == ("cancelled", "reserved"):
            finding.against.append(f"order {id} is {status}, its goods are {state or 'nowhere'}")
    return finding


def figures() -> Finding:
    """Analytics counts what orders sold."""
    finding = Finding("analytics counts what orders sold")
    theirs = counted("product")
    sold = OrderLine.objects.filter(order__paid_at__isnull=False).values("sku")
    for row in sold.annotate(n=Sum("quantity"), sum=Sum(AMOUNT)):
        finding.looked_at += 1
        if theirs.get(row["sku"]) != (row["n"], _money(row["sum"])):
            finding.against.append(f"{row['sku']}: {theirs.get(row['sku'])}, sold {row}")
    return finding


def complete() -> Finding:
    """Every event owed was handled, is under way, or was given up."""
    finding = Finding("every event owed is handled, under way, retried, or given up on record")
    finding.unknown = under_way() > 0
    for consumer, names in _owed().items():
        missing = Event.objects.filter(names)
        finding.looked_at += missing.count()
        for table in (
            Inbox.objects.exclude(handled_at=None),
            DeadLetter.objects,
            DiscardedDeadLetter.objects,
        ):
            same = table.filter(consumer=consumer, event_id=OuterRef("pk"))
            missing = missing.exclude(Exists(same))
        lost = [] if finding.unknown else missing.values_list("id", flat=True)
        finding.against += [f"{consumer} was never told {id}" for id in lost]
    return finding


def _owed() -> dict[str, Q]:
    owed: dict[str, Q] = defaultdict(Q)
    for row in Subscription.objects.filter(until=None):
        owed[row.consumer] |= Q(name=row.event, recorded_at__gte=row.since)
    return owed


def counted(group_by: str, currency: str | None = None) -> dict[str, tuple[int, Decimal]]:
    """Return pieces and revenue as analytics counts them, by day, product or country."""
    rows = analytics.sales(group_by)
    return {r.key: (r.units, _money(r.revenue)) for r in rows if currency in (None, r.currency)}


def _money(amount: Decimal) -> Decimal:
    """Round to cents: SQLite adds up in binary."""
    return round(amount, 2)


CHECKS: list[Check] = [
    ledger,
    reservations,
    shelves,
    totals,
    money,
    goods,
    figures,
    complete,
]
