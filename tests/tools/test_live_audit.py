"""The audit of a live shop: true as of a moment, while events move between the contexts."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.expressions import CombinedExpression

from analytics.models import SaleLine
from eventbus import GiveUp
from eventbus.models import DeadLetter, Dispatch, Event, Inbox, Outbox, Retry
from eventbus.operations import pauses
from eventbus.operations.under_way import aggregates_under_way
from eventbus.relay.relay import Relay
from eventbus.relay.transports.in_process import Embedded
from eventbus.testing.subscribing import subscribe_exactly
from infra.snapshot import snapshot
from inventory.models import Movement, Reservation, StockItem
from orders import services as orders
from orders.errors import AlreadyCancelled
from orders.models import Availability, Order, OrderLine
from payments import services as payments
from payments.errors import SaleIsOff
from payments.models import Bill, Payment
from tests.processes.deployment import wait_until
from tests.shop import Shop

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

BUYERS, AUDITS, SKUS = 3, 12, ("teapot", "cup", "bowl")


class LiveShop(Shop):
    """A shop with buyers in threads, and a relay that delivers in a thread of its own."""

    def __init__(self, settings: Any, path: Path) -> None:
        subscribe_exactly()
        super().__init__(self, settings, path)  # type: ignore[arg-type]
        self.failures: list[BaseException] = []
        self._closed = threading.Event()

    def settle(self, until: Callable[[], object] = lambda: False) -> None:
        """Wait until a condition holds, or no event is left."""
        wait_until(lambda: until() or not _messages())

    @contextmanager
    def open(self) -> Iterator[None]:
        """Deliver, order and pay meanwhile."""
        relay = Relay(Embedded())
        threads = [threading.Thread(target=self._run, args=[relay.run])]
        threads[0].start()
        self.shelve(**dict.fromkeys(SKUS, 100_000))
        self.shelve(rare=5)
        customers = [self.customer(f"Buyer{n}").pk for n in range(BUYERS)]
        threads += [threading.Thread(target=self._run, args=[self._buy, pk]) for pk in customers]
        for thread in threads[1:]:
            thread.start()
        try:
            yield
        finally:
            self._closed.set()
            for thread in threads[1:]:
                thread.join(60)
            relay.stop()
            threads[0].join(60)
        assert self.failures == []

    def _run(self, do: Callable[..., object], *arguments: object) -> None:
        try:
            do(*arguments)
        except BaseException as error:
            self.failures.append(error)
        finally:
            connection.close()

    def _buy(self, customer: UUID) -> None:
        chance = random.Random(customer.int)
        while not self._closed.is_set():
            sku = chance.choice([*SKUS, "rare"])
            line = orders.RequestedLine(sku=sku, quantity=chance.randint(1, 3))
            order = orders.place_order(customer, [line], "ID")
            wait_until(lambda pk=order.pk: Bill.objects.filter(pk=pk).exists(), 60)
            with suppress(SaleIsOff):
                card = chance.choice(["tok_ok", "tok_ok", "tok_insufficient_funds"])
                payments.request_payment(order.pk, customer, card)
            if chance.random() < 0.2:
                with suppress(AlreadyCancelled):
                    orders.cancel_on_request(order.pk, Order.Code.BY_CUSTOMER, "no")


@pytest.fixture
def shop(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveShop:
    """A shop in which some deliveries fail once, and some become dead letters."""
    settings.ORDERS = {**getattr(settings, "ORDERS", {}), "MOST_OPEN": 100_000}
    pay, sell, failed = orders.pay_order, orders.mark_reserved, set()

    def pay_order(order_id: UUID, at: Any) -> None:
        if order_id.int % 4 == 0:
            raise GiveUp(reason="a planted dead letter")
        pay(order_id, at)

    def mark_reserved(order_id: UUID) -> None:
        if order_id.int % 5 == 0 and order_id not in failed:
            failed.add(order_id)
            raise ValueError("a planted retry")
        sell(order_id)

    monkeypatch.setattr(orders, "pay_order", pay_order)
    monkeypatch.setattr(orders, "mark_reserved", mark_reserved)
    return LiveShop(settings, tmp_path)


def _messages() -> int:
    return Outbox.objects.count() + Dispatch.objects.count() + Retry.objects.count()


def audit() -> tuple[bool, str]:
    """Return whether the audit found nothing wrong, and what it printed."""
    out = StringIO()
    with suppress(CommandError):
        call_command("audit", stdout=out)
        return True, out.getvalue()
    return False, out.getvalue()


def test_the_audit_of_a_live_shop_finds_nothing_wrong(shop: LiveShop) -> None:
    left_out = 0
    with shop.open():
        wait_until(lambda: SaleLine.objects.count() > 5, 60)
        for number in range(AUDITS):
            if number == AUDITS // 4:
                pauses.pause("inventory.sell_stock", "operator:1", "a count")
            if number == AUDITS // 2:
                pauses.resume("inventory.sell_stock", "operator:1")
                pauses.pause("analytics", "operator:1", "a count")
            more = Order.objects.count() + 2
            wait_until(lambda more=more: Order.objects.count() >= more, 60)
            right, printed = audit()
            assert right, printed
            left_out += "still under way are left out" in printed
        pauses.resume("analytics", "operator:1")
    assert left_out == AUDITS  # each audit met a shop at work
    assert DeadLetter.objects.exists()
    assert {"sold", "released"} <= set(Movement.objects.values_list("kind", flat=True))


def _settled_order() -> Order:
    """Return a paid order of which no event is under way, and that its buyer does not cancel."""

    def find() -> Order | None:
        with snapshot():
            under_way = aggregates_under_way(*settings.CONTEXTS)
            paid = Order.objects.filter(status="paid").order_by("placed_at")
            for order in paid:
                later = Order.objects.filter(customer_id=order.customer_id, pk__gt=order.pk)
                if f"order:{order.pk}" not in under_way and later.exists():
                    return order
        return None

    found: Order = wait_until(find, 60)
    return found


def _corruptions(order: Order) -> Iterator[tuple[QuerySet[Any], str, Any, str]]:
    """Yield a row, its column, a wrong value, and the words that name the row."""
    id, sku = order.pk, OrderLine.objects.get(order_id=order.pk).sku
    paid = Event.objects.filter(aggregate=f"order:{id}", name="orders.OrderPaid")
    sold = Inbox.objects.filter(consumer="inventory.sell_stock", event_id=paid.get().pk)
    payment = Payment.objects.filter(order_id=id, status="captured")
    yield Order.objects.filter(pk=id), "status", "cancelled", f"Order {id} is cancelled"
    yield payment, "amount", 1, f"Order {id} is paid, its payments"
    yield Reservation.objects.filter(pk=id), "state", "released", f"Order {id} is paid, its goods"
    yield SaleLine.objects.filter(order_id=id), "quantity", 99, f"{sku}: "
    yield OrderLine.objects.filter(order_id=id), "quantity", 99, f"order {id}"
    yield Availability.objects.filter(pk=sku), "available", F("available") + 1, f"{sku}: "
    yield StockItem.objects.filter(pk=sku), "on_hand", F("on_hand") + 1, f"{sku}: "
    yield paid, "aggregate_version", 3, f"orders about order:{id}: version 3 after 1"
    yield sold, "handled_at", None, f"inventory.sell_stock never handled {paid.get().pk}"


def _is_wrong(words: str) -> bool:
    right, printed = audit()
    assert right or words in printed, f"{words} is not in {printed}"
    return not right


def test_each_corrupted_row_of_a_live_shop_is_named_while_it_is_there(shop: LiveShop) -> None:
    with shop.open():
        for row, column, value, words in _corruptions(_settled_order()):
            (before,) = row.values_list(column, flat=True)
            assert row.update(**{column: value}) == 1
            # Not at once, if an event about the order is under way again, as from notifications.
            wait_until(lambda words=words: _is_wrong(words), 60)
            added = isinstance(value, CombinedExpression)  # deliveries change it meanwhile
            row.update(**{column: F(column) - 1 if added else before})
            right, printed = audit()
            assert right, printed
