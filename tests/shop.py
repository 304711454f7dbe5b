"""The shop as a test sees it: what people do, and what they find afterwards."""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core import mail

from accounts.models import User
from accounts.services import sign_up
from eventbus import TryLater
from eventbus.testing import Bus
from infra import clock
from inventory import services as inventory
from inventory.models import Movement, StockItem
from notifications.models import Message
from orders import services as orders
from orders.models import Availability, Order
from payments import gateway
from payments import services as payments
from payments.errors import SaleIsOff
from payments.gateway.fakes import Answer, PlayedBank
from payments.models import Bill, Payment


class Bank(PlayedBank):
    """The fake bank, and what happens while it thinks."""

    meanwhile: Callable[[], object] | None = None
    away = False

    @property
    def captured(self) -> Decimal:
        """All money that was ever taken."""
        taken = (m.amount for m in self.ledger if m.kind == "capture")
        return sum(taken, Decimal())

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> Answer:
        """Think, then answer as ever."""
        happens, self.meanwhile = self.meanwhile, None
        if happens:
            happens()
        if self.away:
            raise TryLater(seconds=5, reason="no bank")
        return super().capture(key, amount, currency, card)


class Shop:
    """One shop with one customer, Sari; others by name."""

    def __init__(self, bus: Bus, settings: Any, path: Path) -> None:
        self.bus, self.settings = bus, settings
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "SMS_URL": "", "PUSH_URL": ""}
        settings.VAR = path
        self.bank = gateway.played = Bank()
        self._customers: dict[str, User] = {}

    # --- given --------------------------------------------------------------------------------
    def customer(self, name: str = "Sari", **details: Any) -> User:
        """Return a customer, signing up who is new."""
        if name not in self._customers:
            details = {"language": "en", "country": "ID", "phone": "+628111111111", **details}
            email = f"{name.lower()}@example.org"
            self._customers[name] = sign_up(email=email, password="x", name=name, **details)
        return self._customers[name]

    def shelve(self, low_stock_threshold: int = 0, **stock: int) -> None:
        """List products at 10.00 EUR, and put pieces of them on the shelf."""
        for sku, pieces in stock.items():
            orders.list_product(sku, sku.title(), Decimal("10.00"), "EUR")
            inventory.add_stock_item(sku, low_stock_threshold)
            inventory.replenish(sku, pieces)
        self.bus.settle()

    # --- when ---------------------------------------------------------------------------------
    def order(self, who: str = "Sari", **basket: int) -> Order:
        """Place an order, without waiting for what comes of it."""
        wanted = [orders.RequestedLine(sku=sku, quantity=pieces) for sku, pieces in basket.items()]
        return orders.place_order(self.customer(who).pk, wanted, "ID")

    def pay(self, order: Order, card: str = "tok_ok") -> None:
        """Ask to pay, as soon as payments has heard of the order; it may be off by then."""
        self.bus.settle(until=lambda: Bill.objects.filter(pk=order.pk).exists())
        with suppress(SaleIsOff):
            payments.request_payment(order.pk, order.customer_id, card)

    def checkout(self, who: str = "Sari", card: str = "tok_ok", **basket: int) -> Order:
        """Order and pay, and wait for the end of it."""
        order = self.order(who, **basket)
        self.pay(order, card)
        self.bus.settle()
        return self.again(order)

    def cancel(self, order: Order, reason: str = "changed my mind") -> None:
        """Cancel as the customer."""
        orders.cancel_on_request(order.pk, Order.Code.BY_CUSTOMER, reason)

    def while_the_bank_thinks(self, happens: Callable[[], object]) -> None:
        """Let something happen between the question to the bank and its answer, once."""
        self.bank.meanwhile = happens

    def reserve_by_hand(self, order: Order) -> None:
        """Give an order that was turned away the goods that came free: a rival's, made new."""
        new = orders.place_order(
            order.customer_id,
            [orders.RequestedLine(sku=s.sku, quantity=s.quantity) for s in order.lines.all()],
            "ID",
        )
        inventory.reserve(new.pk, {line.sku: line.quantity for line in new.lines.all()})

    def let_lapse(self, order: Order) -> None:
        """Let so much time pass that reservation and pin end, and inventory know it."""
        clock.offset += dt.timedelta(minutes=30)
        inventory.lapse(order.pk)

    # --- then ---------------------------------------------------------------------------------
    def again(self, order: Order) -> Order:
        """Return the order as it is now."""
        return Order.objects.get(pk=order.pk)

    def payment_of(self, order: Order) -> Payment:
        """Return the latest payment of an order."""
        return Payment.objects.filter(order_id=order.pk).latest("requested_at")

    def payments_of(self, order: Order) -> set[str]:
        """Return how the payments of an order stand."""
        return set(Payment.objects.filter(order_id=order.pk).values_list("status", flat=True))

    def on_shelf(self, sku: str) -> int:
        """Return what can be had, and make sure that all who count agree."""
        item = StockItem.objects.get(pk=sku)
        ledger = Movement.objects.filter(sku=sku)
        assert item.on_hand == sum(m.on_hand for m in ledger)
        assert item.reserved == sum(m.reserved for m in ledger)
        assert Availability.objects.get(pk=sku).available == item.available
        return item.available

    def letters(self, who: str = "Sari") -> list[str]:
        """Return what kinds of mail somebody got, sorted: mail has no order."""
        return self._kinds(self.customer(who).email)

    def letters_to_operator(self) -> list[str]:
        """Return what kinds of mail the operator got."""
        return self._kinds(self.settings.NOTIFICATIONS["OPERATOR_EMAIL"])

    def texts(self, who: str = "Sari") -> list[str]:
        """Return what kinds of SMS somebody got."""
        return self._sent("sms", self.customer(who))

    def pushes(self, who: str = "Sari") -> list[str]:
        """Return what kinds of push messages somebody got."""
        return self._sent("push", self.customer(who))

    def _kinds(self, address: str) -> list[str]:
        posted = [letter.subject for letter in mail.outbox if address in letter.to]
        sent = Message.objects.filter(channel="mail", state="sent", to=address)
        assert sorted(m.subject for m in sent) == sorted(posted)
        return sorted(m.kind for m in sent)

    def _sent(self, channel: str, who: User) -> list[str]:
        sent = Message.objects.filter(channel=channel, state="sent", customer_id=who.pk)
        log = self.settings.VAR / f"{channel}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        assert sum(m.to in line for m in sent for line in lines[:]) >= len(sent)
        return sorted(m.kind for m in sent)

    def money_of(self, order: Order) -> Decimal:
        """Return what we hold of an order's money."""
        held = Payment.objects.filter(order_id=order.pk, status="captured")
        return sum((p.amount for p in held), Decimal())

    def id_of(self, who: str) -> UUID:
        """Return a customer's id."""
        return self.customer(who).pk
