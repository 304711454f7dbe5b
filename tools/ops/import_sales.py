"""Imports the sales history of a shop by the contexts' services, invoice by invoice.

An invoice is one transaction: products, prices, stock and order are stored together. The order's
id follows from the invoice's number, so that an import can be stopped at any time and continued
without duplicates. Payment and goods follow by events.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import transaction

from accounts import services as accounts
from accounts.errors import EmailTaken
from accounts.models import User
from eventbus import acting_as
from eventbus.models import Dispatch, Outbox, Retry
from infra.transactions import repeat_conflicts
from inventory import services as inventory
from orders import services as orders
from orders.errors import AlreadyListed
from orders.models import Order, Product
from payments import services as payments
from payments.models import Bill, Payment
from tools.ops.sales_file import History, Sale

CURRENCY = "GBP"
ACTOR = "command:importsales"
UNDER_WAY = 20  # invoices placed but not yet paid: well inside the time a reservation lasts
STALL_TIMEOUT = 60.0  # seconds without progress: no relay or worker seems to run


class Stuck(Exception):
    """No event is delivered any more."""


@dataclass
class Report:
    """Counts of an import."""

    imported: int = 0
    present: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def order_ids(invoice: str) -> Iterator[UUID]:
    """Yield ids for an invoice: the first, then one for each time its order was cancelled."""
    attempt = 0
    while True:
        yield uuid5(NAMESPACE_URL, f"kabar:invoice:{invoice}:{attempt}")
        attempt += 1


@dataclass
class Import:
    """One import of a history."""

    history: History
    notify: bool = False
    progress: Callable[[int], object] = lambda lines: None
    report: Report = field(default_factory=Report)
    _waiting: deque[tuple[UUID, Sale]] = field(default_factory=deque)

    def run(self) -> Report:
        """Import every invoice, and wait until each is paid or cancelled. Raises Stuck."""
        for invoice, sales in self.history.invoices.items():
            self._import(invoice, sales)
            while len(self._waiting) >= UNDER_WAY:
                self._pay_next()
            self.progress(len(sales))
        while self._waiting:
            self._pay_next()
        wait_until(lambda: not still_under_way())
        return self.report

    def _import(self, invoice: str, sales: Sequence[Sale]) -> None:
        for id in order_ids(invoice):
            order = Order.objects.filter(pk=id).first()
            if order is None:
                with acting_as(ACTOR):
                    self.report.counts += self._store(id, sales)
                self.report.imported += 1
                self._waiting.append((id, sales[0]))
                return
            if order.status != Order.Status.CANCELLED:
                self.report.present += 1
                if order.status != Order.Status.PAID:
                    self._waiting.append((id, sales[0]))
                return

    def _store(self, id: UUID, sales: Sequence[Sale]) -> Counter[str]:
        """Store an invoice; if another import was first with its customer or goods, find them."""
        place = partial(self._place, id, sales)
        try:
            return repeat_conflicts(place)
        except (EmailTaken, AlreadyListed):
            return self._store(id, sales)

    @transaction.atomic
    def _place(self, id: UUID, sales: Sequence[Sale]) -> Counter[str]:
        """Store an invoice in one transaction, and return the counts of its side effects."""
        counts: Counter[str] = Counter()
        customer = self._customer(sales[0], counts)
        prices = self._prices(sales, counts)
        needed = inventory.total_quantities((sale.sku, sale.quantity) for sale in sales)
        inventory.hold(needed)
        for sku, quantity in sorted(needed.items()):
            inventory.add_stock_item(sku, low_stock_threshold=0)
            inventory.replenish(sku, quantity)
        wanted = [
            orders.RequestedLine(
                sku=sale.sku,
                quantity=sale.quantity,
                unit_price=sale.unit_price if sale.unit_price != prices[sale.sku] else None,
            )
            for sale in sales
        ]
        orders.place_order(customer, wanted, sales[0].country, placed_at=sales[0].at, order_id=id)
        return counts

    def _customer(self, sale: Sale, counts: Counter[str]) -> UUID:
        name = f"Customer {sale.customer}" if sale.customer else f"Guest of {sale.invoice}"
        local = f"customer-{sale.customer}" if sale.customer else f"guest-{sale.invoice}"
        email = f"{local}@import.example"
        known = User.objects.filter(email=email).values_list("pk", flat=True).first()
        if known:
            return known
        counts["customers signed up" if sale.customer else "guests"] += 1
        user = accounts.sign_up(
            email=email,
            password=None,
            name=name,
            language="en",
            country=sale.country,
            wants_messages=self.notify,
            signed_up_at=sale.at,
        )
        return user.pk

    def _prices(self, sales: Sequence[Sale], counts: Counter[str]) -> dict[str, Decimal]:
        """List new products, and change prices; the first price of an invoice counts."""
        first = {sale.sku: sale for sale in reversed(sales)}
        known = Product.objects.in_bulk(list(first))
        for sku, sale in sorted(first.items()):
            if sku not in known:
                orders.list_product(sku, sale.name, sale.unit_price, CURRENCY)
                counts["products listed"] += 1
            elif known[sku].unit_price != sale.unit_price:
                orders.reprice_product(sku, sale.unit_price)
                counts["repricings"] += 1
        prices = {sku: sale.unit_price for sku, sale in first.items()}
        others = sum(sale.unit_price != prices[sale.sku] for sale in sales)
        counts["lines with an operator's price"] += others
        return prices

    def _pay_next(self) -> None:
        id, sale = self._waiting.popleft()
        wait_until(lambda: Bill.objects.filter(pk=id).exists())
        live = Payment.objects.filter(order_id=id).exclude(status="declined")
        order = Order.objects.get(pk=id)
        if not live.exists() and order.status != Order.Status.CANCELLED:
            with acting_as(ACTOR):
                payments.request_payment(id, order.customer_id, "tok_ok", paid_at=sale.at)
            self.report.counts["payments"] += 1


def still_under_way() -> int:
    """Return the number of undelivered messages."""
    return Outbox.objects.count() + Dispatch.objects.count() + Retry.objects.count()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, as long as deliveries go on. Raises Stuck."""
    pause, seen, since = 0.005, -1, time.monotonic()
    while not condition():
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)
        left = still_under_way()
        if left != seen:
            seen, since = left, time.monotonic()
        if time.monotonic() - since > STALL_TIMEOUT:
            raise Stuck
