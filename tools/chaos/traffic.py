"""Customers that order and pay during a chaos test, and a log of acknowledged writes.

`python -m tools.chaos.traffic FOLDER NUMBER`. A line of FOLDER/acknowledged-NUMBER is written after
the commit of its transaction: the row must be in the database afterwards.
"""

import importlib
import random
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from tools.chaos.acknowledgements import AcknowledgementLog

SETUP = "setup"
PRODUCTS = {"teapot": 100_000, "cup": 100_000, "kettle": 100_000, "vase": 40, "lamp": 20}
CARDS = ["tok_ok"] * 17 + ["tok_insufficient_funds", "tok_fraud", "tok_flaky"]
MAX_UNDER_WAY = 60  # messages under way: more would only wait
# A file of this name requests one; its text is the kind.
ON_REQUEST = (
    "CrashRequested",
    "EarlyWorkRequested",
    "FlakyWorkRequested",
    "MisbehaviourRequested",
)
CLOSED = "closed"  # a file of this name ends all customers
LONG_REQUEST, LONG_SECONDS = "LongTransactionRequested", 60.0


class TrafficGenerator:
    """Random customers."""

    def __init__(self, folder: Path, number: str) -> None:
        self.folder, self.number = folder, number
        self.log = AcknowledgementLog(folder / f"acknowledged-{number}")
        self.dice = random.Random()
        self.customers: list[UUID] = []
        self.unpaid: deque[tuple[UUID, UUID]] = deque(maxlen=200)
        self.paid: deque[UUID] = deque(maxlen=50)

    def act(self) -> None:
        """Do one random thing."""
        if not self.customers or self.dice.random() < 0.05:
            self.sign_up()
        action = self.dice.choices(
            [self.order, self.pay, self.withdraw, self.replenish, self.publish_work],
            [40, 40, 4, 2, 4],
        )[0]
        action()

    def publish_requested(self) -> None:
        """Publish the events that faults request."""
        for event in ON_REQUEST:
            with suppress(FileNotFoundError):
                file = self.folder / event
                kind = file.read_text()
                file.unlink()
                self.publish_work(event, kind=kind)
        with suppress(FileNotFoundError):
            (self.folder / LONG_REQUEST).unlink()
            self.publish_work(seconds=LONG_SECONDS)

    def sign_up(self) -> None:
        """Sign a customer up."""
        from accounts.services import sign_up

        name = uuid4().hex[:12]
        user = sign_up(f"{name}@example.org", None, name, "en", "ID", phone="+628111111111")
        self.customers.append(user.pk)
        self.log.record("signed", user.pk)

    def order(self) -> None:
        """Place an order; one in eight is never paid."""
        from orders.services import RequestedLine, place_order

        skus = self.dice.sample(sorted(PRODUCTS), self.dice.randint(1, 3))
        wanted = [RequestedLine(sku=sku, quantity=self.dice.randint(1, 2)) for sku in skus]
        customer = self.dice.choice(self.customers)
        order = place_order(customer, wanted, "ID")
        self.log.record("placed", order.pk)
        if self.dice.random() < 7 / 8:
            self.unpaid.append((order.pk, customer))

    def pay(self) -> None:
        """Pay the oldest unpaid order, once payments knows it."""
        from payments.errors import NoSuchOrder
        from payments.services import request_payment

        if not self.unpaid:
            return
        order, customer = self.unpaid.popleft()
        try:
            payment = request_payment(order, customer, self.dice.choice(CARDS))
        except NoSuchOrder:
            self.unpaid.append((order, customer))
            return
        self.log.record("paying", payment.pk)
        self.paid.append(order)

    def withdraw(self) -> None:
        """Cancel an order, often after the capture."""
        from orders.services import cancel_on_request

        if self.paid:
            order = self.paid.popleft()
            cancel_on_request(order, "by_customer", "changed my mind")
            self.log.record("withdrawn", order)

    def replenish(self) -> None:
        """Replenish a product that runs out."""
        from inventory import services

        movement = services.replenish(self.dice.choice(["vase", "lamp"]), 5)
        self.log.record("delivered", movement.pk)

    def publish_work(
        self, event: str = "FlakyWorkRequested", *, kind: str = "", seconds: float = 0.0
    ) -> None:
        """Publish an event whose consumer fails, and keep its transaction open for so long."""
        from django.db import transaction

        from eventbus import publish

        events = importlib.import_module("chaosevents.events")
        data = {"kind": kind} if event == "MisbehaviourRequested" else {}
        with transaction.atomic():
            id = publish(getattr(events, event)(work_id=uuid4(), **data))
            time.sleep(seconds)
        self.log.record("published", id)


def stock_shop() -> None:
    """List the products, with their stock."""
    from inventory import services as inventory
    from orders import services as orders

    for sku, pieces in PRODUCTS.items():
        orders.list_product(sku, sku, Decimal("10.00"), "EUR")
        inventory.add_stock_item(sku, 0)
        inventory.replenish(sku, pieces)


def overloaded() -> bool:
    """Whether enough events are under way."""
    from eventbus.models import Dispatch, Outbox

    return Dispatch.objects.count() + Outbox.objects.count() > MAX_UNDER_WAY


def main(folder: str, number: str) -> None:
    """Act until SIGTERM, also through a time without database."""
    import django

    django.setup()
    if number == SETUP:
        stock_shop()
        return
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    buy(Path(folder), number, stopping)


def buy(folder: Path, number: str, stopping: threading.Event) -> None:
    """Act until it is told to stop, or the shop is closed."""
    from django.db import Error, connection

    from eventbus import Refusal

    traffic = TrafficGenerator(folder, number)
    while not (stopping.is_set() or (folder / CLOSED).exists()):
        try:
            traffic.publish_requested()
            if not overloaded():
                with suppress(Refusal):
                    traffic.act()
        except Error:
            connection.close()
            time.sleep(0.1)
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
