"""The shop as a test sees it: what people do, and what they find afterwards."""

from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core import mail

from accounts.models import User
from accounts.services import sign_up
from eventbus.testing import Bus
from inventory import services as inventory
from inventory.models import Movement, StockItem
from orders import services as orders
from orders.models import Order, Shelf
from payments import services as payments
from payments.models import Bill, Payment


class Shop:
    """One shop with one customer, Sari; others by name."""

    def __init__(self, bus: Bus, settings: Any, path: Path) -> None:
        self.bus, self.settings = bus, settings
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "SMS_URL": "", "PUSH_URL": ""}
        self._customers: dict[str, User] = {}

    # --- given --------------------------------------------------------------------------------
    def customer(self, name: str = "Sari", **details: Any) -> User:
        """Return a customer, signing up who is new."""
        if name not in self._customers:
            details = {"language": "en", "country": "ID", "phone": "+628111111111", **details}
            email = f"{name.lower()}@example.org"
            self._customers[name] = sign_up(email=email, password="x", name=name, **details)
        return self._customers[name]

    def shelve(self, low_at: int = 0, **stock: int) -> None:
        """List products at 10.00 EUR, and put pieces of them on the shelf."""
        for sku, pieces in stock.items():
            orders.list_product(sku, sku.title(), Decimal("10.00"), "EUR")
            inventory.open_shelf(sku, low_at)
            inventory.replenish(sku, pieces)
        self.bus.settle()

    # --- when ---------------------------------------------------------------------------------
    def order(self, who: str = "Sari", **basket: int) -> Order:
        """Place an order, without waiting for what comes of it."""
        wanted = [orders.Wanted(sku=sku, quantity=pieces) for sku, pieces in basket.items()]
        return orders.place_order(self.customer(who).pk, wanted, "ID")

    def pay(self, order: Order, card: str = "tok_ok") -> Payment:
        """Ask to pay, as soon as payments has heard of the order."""
        self.bus.settle(until=lambda: Bill.objects.filter(pk=order.pk).exists())
        return payments.request_payment(order.pk, order.customer_id, card)

    def checkout(self, who: str = "Sari", card: str = "tok_ok", **basket: int) -> Order:
        """Order and pay, and wait for the end of it."""
        order = self.order(who, **basket)
        self.pay(order, card)
        self.bus.settle()
        return self.again(order)

    def cancel(self, order: Order, reason: str = "changed my mind") -> None:
        """Cancel as the customer."""
        orders.withdraw_order(order.pk, Order.Code.BY_CUSTOMER, reason)

    # --- then ---------------------------------------------------------------------------------
    def again(self, order: Order) -> Order:
        """Return the order as it is now."""
        return Order.objects.get(pk=order.pk)

    def payment_of(self, order: Order) -> Payment:
        """Return the latest payment of an order."""
        return Payment.objects.filter(order_id=order.pk).latest("requested_at")

    def on_shelf(self, sku: str) -> int:
        """Return what can be had, and make sure that all who count agree."""
        item = StockItem.objects.get(pk=sku)
        ledger = Movement.objects.filter(sku=sku)
        assert item.on_hand == sum(m.on_hand for m in ledger)
        assert item.reserved == sum(m.reserved for m in ledger)
        assert Shelf.objects.get(pk=sku).available == item.available
        return item.available

    def letters(self, who: str = "Sari") -> list[str]:
        """Return the subjects of the mails somebody got, sorted: mail has no order."""
        address = self.customer(who).email
        return sorted(m.subject for m in mail.outbox if address in m.to)

    def money_of(self, order: Order) -> Decimal:
        """Return what we hold of an order's money."""
        held = Payment.objects.filter(order_id=order.pk, status="captured")
        return sum((p.amount for p in held), Decimal())

    def id_of(self, who: str) -> UUID:
        """Return a customer's id."""
        return self.customer(who).pk
