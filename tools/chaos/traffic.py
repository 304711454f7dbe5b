"""Who orders and pays during a storm, and writes down what was promised to them.

`python -m tools.chaos.traffic FOLDER NUMBER`. A line of FOLDER/acknowledged-NUMBER is on disk once
the transaction has committed: what it says must be found afterwards.
"""

import importlib
import random
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from tools.chaos.ledger import Ledger

OPENING = "opening"
GOODS = {"teapot": 100_000, "cup": 100_000, "kettle": 100_000, "vase": 40, "lamp": 20}
CARDS = ["tok_ok"] * 17 + ["tok_insufficient_funds", "tok_fraud", "tok_flaky"]
CROWDED = 60  # messages under way: more would only wait
ON_REQUEST = ("PoisonLaid", "TrapLaid")  # a file of this name asks for one


class Crowd:
    """Customers of all kinds."""

    def __init__(self, folder: Path, number: str) -> None:
        self.folder, self.number = folder, number
        self.ledger = Ledger(folder / f"acknowledged-{number}")
        self.dice = random.Random()
        self.customers: list[UUID] = []
        self.unpaid: deque[tuple[UUID, UUID]] = deque(maxlen=200)
        self.paid: deque[UUID] = deque(maxlen=50)

    def act(self) -> None:
        """Do one thing that people do."""
        if not self.customers or self.dice.random() < 0.05:
            self.sign_up()
        deed = self.dice.choices(
            [self.order, self.pay, self.withdraw, self.deliver, self.lay], [40, 40, 4, 2, 4]
        )[0]
        deed()
        for what in ON_REQUEST:
            with suppress(FileNotFoundError):
                (self.folder / what).unlink()
                self.lay(what)

    def sign_up(self) -> None:
        """Become a customer."""
        from accounts.services import sign_up

        name = uuid4().hex[:12]
        user = sign_up(f"{name}@example.org", None, name, "en", "ID", phone="+628111111111")
        self.customers.append(user.pk)
        self.ledger.note("signed", user.pk)

    def order(self) -> None:
        """Place an order; one in eight is never paid."""
        from orders.services import RequestedLine, place_order

        skus = self.dice.sample(sorted(GOODS), self.dice.randint(1, 3))
        wanted = [RequestedLine(sku=sku, quantity=self.dice.randint(1, 2)) for sku in skus]
        customer = self.dice.choice(self.customers)
        order = place_order(customer, wanted, "ID")
        self.ledger.note("placed", order.pk)
        if self.dice.random() < 7 / 8:
            self.unpaid.append((order.pk, customer))

    def pay(self) -> None:
        """Pay what was ordered first, once payments knows of it."""
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
        self.ledger.note("paying", payment.pk)
        self.paid.append(order)

    def withdraw(self) -> None:
        """Change one's mind, often after the money has gone."""
        from orders.services import cancel_on_request

        if self.paid:
            order = self.paid.popleft()
            cancel_on_request(order, "by_customer", "changed my mind")
            self.ledger.note("withdrawn", order)

    def deliver(self) -> None:
        """Put some of what runs out on the shelf."""
        from inventory.services import replenish

        movement = replenish(self.dice.choice(["vase", "lamp"]), 5)
        self.ledger.note("delivered", movement.pk)

    def lay(self, what: str = "StoneLaid") -> None:
        """Put something in the way."""
        from django.db import transaction

        from eventbus import publish

        events = importlib.import_module("hazards.events")
        field = f"{what.removesuffix('Laid').lower()}_id"
        with transaction.atomic():
            id = publish(getattr(events, what)(**{field: uuid4()}))
        self.ledger.note("published", id)


def open_shop() -> None:
    """List the goods, with their stock."""
    from inventory import services as inventory
    from orders import services as orders

    for sku, pieces in GOODS.items():
        orders.list_product(sku, sku, Decimal("10.00"), "EUR")
        inventory.add_stock_item(sku, 0)
        inventory.replenish(sku, pieces)


def crowded() -> bool:
    """Whether more than enough is under way."""
    from eventbus.models import Dispatch, Outbox

    return Dispatch.objects.count() + Outbox.objects.count() > CROWDED


def main(folder: str, number: str) -> None:
    """Act until SIGTERM; a database that is away is waited for."""
    import django

    django.setup()
    from django.db import Error, connection

    from eventbus import Refusal

    if number == OPENING:
        open_shop()
        return
    leaving: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: leaving.append(1))
    crowd = Crowd(Path(folder), number)
    while not leaving:
        try:
            if not crowded():
                with suppress(Refusal):
                    crowd.act()
        except Error:
            connection.close()
            time.sleep(0.1)
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
