"""A shop for tests: actions of customers, and assertions about the outcome."""

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

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
from payments.gateway.in_memory import InMemoryBank, Response
from payments.models import Bill, Payment


class Bank(InMemoryBank):
    """The fake bank, with a hook that runs during a capture, and outages."""

    meanwhile: Callable[[], object] | None = None
    unavailable = False

    @property
    def captured(self) -> Decimal:
        """Return the sum of all captures, refunded ones included."""
        amounts = (m.amount for m in self.ledger if m.kind == "capture")
        return sum(amounts, Decimal())

    def capture(self, key: str, amount: Decimal, currency: str, card: str) -> Response:
        """Run the hook once, then capture as the fake bank does."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        if self.unavailable:
            raise TryLater(seconds=5, reason="no bank")
        return super().capture(key, amount, currency, card)


class Shop:
    """A shop with one customer, Sari; other customers are created by name."""

    def __init__(self, bus: Bus, settings: Any, path: Path) -> None:
        self.bus, self.settings = bus, settings
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "SMS_URL": "", "PUSH_URL": ""}
        settings.VAR = path
        self.bank = gateway.in_memory_bank = Bank()
        self._customers: dict[str, User] = {}

    # --- given --------------------------------------------------------------------------------
    def customer(self, name: str = "Sari", **details: Any) -> User:
        """Return a customer, after a sign-up if the name is new."""
        if name not in self._customers:
            details = {"language": "en", "country": "ID", "phone": "+628111111111", **details}
            email = f"{name.lower()}@example.org"
            self._customers[name] = sign_up(email=email, password="x", name=name, **details)
        return self._customers[name]

    def shelve(self, low_stock_threshold: int = 0, **stock: int) -> None:
        """List products at 10.00 EUR with so many pieces in stock."""
        for sku, pieces in stock.items():
            orders.list_product(sku, sku.title(), Decimal("10.00"), "EUR")
            inventory.add_stock_item(sku, low_stock_threshold)
            inventory.replenish(sku, pieces)
        self.bus.settle()

    # --- when ---------------------------------------------------------------------------------
    def order(self, name: str = "Sari", **quantities: int) -> Order:
        """Place an order without delivering any event."""
        lines = [
            orders.RequestedLine(sku=sku, quantity=pieces) for sku, pieces in quantities.items()
        ]
        return orders.place_order(self.customer(name).pk, lines, "ID")

    def pay(self, order: Order, card: str = "tok_ok") -> None:
        """Request a payment once payments knows the order, which may be cancelled by then."""
        self.bus.settle(until=lambda: Bill.objects.filter(pk=order.pk).exists())
        with suppress(SaleIsOff):
            payments.request_payment(order.pk, order.customer_id, card)

    def checkout(self, name: str = "Sari", card: str = "tok_ok", **quantities: int) -> Order:
        """Order, pay, and deliver all events."""
        order = self.order(name, **quantities)
        self.pay(order, card)
        self.bus.settle()
        return self.reload(order)

    def cancel(self, order: Order, reason: str = "changed my mind") -> None:
        """Cancel as the customer."""
        orders.cancel_on_request(order.pk, Order.Code.BY_CUSTOMER, reason)

    def during_capture(self, action: Callable[[], object]) -> None:
        """Run an action between the request to the bank and its answer, once."""
        self.bank.meanwhile = action

    def order_again(self, order: Order) -> None:
        """Place a rejected order again and reserve its goods, which are available now."""
        new = orders.place_order(
            order.customer_id,
            [orders.RequestedLine(sku=s.sku, quantity=s.quantity) for s in order.lines.all()],
            "ID",
        )
        inventory.reserve(new.pk, {line.sku: line.quantity for line in new.lines.all()})

    def lapse(self, order: Order) -> None:
        """Let the reservation and its pin expire, and let inventory release the goods."""
        clock.offset += dt.timedelta(minutes=30)
        inventory.lapse(order.pk)

    # --- then ---------------------------------------------------------------------------------
    def reload(self, order: Order) -> Order:
        """Return the order from the database."""
        return Order.objects.get(pk=order.pk)

    def latest_payment(self, order: Order) -> Payment:
        """Return the latest payment of an order."""
        return Payment.objects.filter(order_id=order.pk).latest("requested_at")

    def payment_statuses(self, order: Order) -> set[str]:
        """Return the statuses of all payments of an order."""
        return set(Payment.objects.filter(order_id=order.pk).values_list("status", flat=True))

    def on_shelf(self, sku: str) -> int:
        """Return the available pieces; assert that stock, ledger and catalogue agree."""
        item = StockItem.objects.get(pk=sku)
        ledger = Movement.objects.filter(sku=sku)
        assert item.on_hand == sum(m.on_hand for m in ledger)
        assert item.reserved == sum(m.reserved for m in ledger)
        assert Availability.objects.get(pk=sku).available == item.available
        return item.available

    def emails(self, name: str = "Sari") -> list[str]:
        """Return the kinds of e-mails to a customer, sorted since their order varies."""
        return self._kinds(self.customer(name).email)

    def emails_to_operator(self) -> list[str]:
        """Return the kinds of e-mails to the operator."""
        return self._kinds(self.settings.NOTIFICATIONS["OPERATOR_EMAIL"])

    def sms(self, name: str = "Sari") -> list[str]:
        """Return the kinds of SMS to a customer."""
        return self._sent("sms", self.customer(name))

    def push_messages(self, name: str = "Sari") -> list[str]:
        """Return the kinds of push messages to a customer."""
        return self._sent("push", self.customer(name))

    def _kinds(self, address: str) -> list[str]:
        posted = [message.subject for message in mail.outbox if address in message.to]
        sent = Message.objects.filter(channel="mail", state="sent", to=address)
        assert sorted(m.subject for m in sent) == sorted(posted)
        return sorted(m.kind for m in sent)

    def _sent(self, channel: str, customer: User) -> list[str]:
        sent = Message.objects.filter(channel=channel, state="sent", customer_id=customer.pk)
        log = self.settings.VAR / f"{channel}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        assert sum(m.to in line for m in sent for line in lines) >= len(sent)
        return sorted(m.kind for m in sent)

    def net_captured(self, order: Order) -> Decimal:
        """Return the captured amount of an order that was not refunded."""
        payments = Payment.objects.filter(order_id=order.pk, status="captured")
        return sum((p.amount for p in payments), Decimal())
