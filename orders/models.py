"""What orders remembers, and what may become of it."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

from django.db import models

from infra.ids import new_id
from orders import events


class Product(models.Model):
    """Something for sale. Inventory keeps the goods; how many there are is on the Shelf."""

    sku = models.CharField(max_length=40, primary_key=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3, help_text="ISO 4217")
    active = models.BooleanField(default=True)
    views = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-views", "sku"]

    def __str__(self) -> str:
        return f"{self.sku} {self.name}"

    def listed(self) -> events.ProductListed:
        """Say that it is for sale."""
        return events.ProductListed(
            sku=self.sku,
            name=self.name,
            description=self.description,
            unit_price=self.unit_price,
            currency=self.currency,
        )

    def reprice(self, unit_price: Decimal) -> events.ProductRepriced | None:
        """Take another price, if it is another one."""
        if unit_price == self.unit_price:
            return None
        was, self.unit_price = self.unit_price, unit_price
        return events.ProductRepriced(
            sku=self.sku, unit_price=unit_price, was=was, currency=self.currency
        )

    def retire(self) -> events.ProductRetired | None:
        """Take it off sale, once."""
        if not self.active:
            return None
        self.active = False
        return events.ProductRetired(sku=self.sku)


class Shelf(models.Model):
    """How many pieces of a product can be had: the sum of inventory's news, in any order."""

    sku = models.CharField(max_length=40, primary_key=True)
    available = models.IntegerField(default=0)

    class Meta:
        verbose_name_plural = "shelves"

    def __str__(self) -> str:
        return f"{self.available} of {self.sku}"


class Order(models.Model):
    """A customer's order. Its methods decide, and return the fact they caused, or None."""

    class Status(models.TextChoices):
        """Where an order stands."""

        PLACED = "placed"
        RESERVED = "reserved"
        PAID = "paid"
        CANCELLED = "cancelled"

    OPEN = (Status.PLACED, Status.RESERVED)  # neither paid nor over

    class Code(models.TextChoices):
        """Why an order was cancelled."""

        OUT_OF_STOCK = "out_of_stock"
        DECLINED = "declined"
        LAPSED = "lapsed"
        BY_CUSTOMER = "by_customer"
        BY_OPERATOR = "by_operator"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    customer_id = models.UUIDField(db_index=True)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")
    currency = models.CharField(max_length=3, help_text="ISO 4217")
    total = models.DecimalField(max_digits=14, decimal_places=2)
    status = models.CharField(max_length=12, choices=Status, default=Status.PLACED)
    code = models.CharField(max_length=12, choices=Code, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    placed_at = models.DateTimeField(db_index=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-placed_at"]

    def __str__(self) -> str:
        return f"Order {self.id}"

    def keep(self, lines: "list[OrderLine]") -> None:
        """Know its lines, as a prefetch would: nobody reads what was just written."""
        self._prefetched_objects_cache = {"lines": lines}

    def placed(self, lines: list[events.Line]) -> events.OrderPlaced:
        """Say what the customer wants."""
        return events.OrderPlaced(
            order_id=self.id,
            customer_id=self.customer_id,
            lines=lines,
            total=self.total,
            currency=self.currency,
            country=self.country,
            placed_at=self.placed_at,
        )

    def reserve(self) -> None:
        """Know that the goods are set aside; nobody else needs to hear it from us."""
        if self.status == self.Status.PLACED:
            self.status = self.Status.RESERVED

    def pay(self, lines: list[events.Line], at: dt.datetime) -> events.OrderPaid | None:
        """Take the money, unless the sale is off: then payments gives it back."""
        if self.status not in self.OPEN:
            return None
        self.status, self.paid_at = self.Status.PAID, at
        return events.OrderPaid(
            order_id=self.id,
            customer_id=self.customer_id,
            lines=lines,
            total=self.total,
            currency=self.currency,
            country=self.country,
            placed_at=self.placed_at,
            paid_at=at,
        )

    def lapse(self, at: dt.datetime) -> events.OrderCancelled | None:
        """Give up an order not paid in time; a paid one gets its goods another way."""
        if self.status == self.Status.PAID:
            return None
        return self.cancel(self.Code.LAPSED, "It was not paid in time.", at)

    def cancel(self, code: str, reason: str, at: dt.datetime) -> events.OrderCancelled | None:
        """Call the sale off, once; the first reason stays."""
        if self.status == self.Status.CANCELLED:
            return None
        was_paid = self.status == self.Status.PAID
        self.status, self.cancelled_at = self.Status.CANCELLED, at
        self.code, self.reason = code, reason[:300]
        return events.OrderCancelled(
            order_id=self.id,
            customer_id=self.customer_id,
            code=code,
            reason=self.reason,
            was_paid=was_paid,
            cancelled_at=at,
        )


class OrderLine(models.Model):
    """A line as it was sold: name and price stay what they were."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveIntegerField()
    sku = models.CharField(max_length=40)
    name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["order", "position"], name="one_line_each"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="some_pieces"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.sku}"

    @property
    def amount(self) -> Decimal:
        """Pieces times price."""
        return self.quantity * self.unit_price

    def fact(self) -> events.Line:
        """Return the line as it is told."""
        return events.Line(
            sku=self.sku, name=self.name, quantity=self.quantity, unit_price=self.unit_price
        )


class Heard(models.Model):
    """The latest event of another context about one part of an order: goods, payment or message."""

    class Part(models.TextChoices):
        """What an order has in other contexts."""

        STOCK = "stock"
        PAYMENT = "payment"
        MESSAGE = "message"

    order_id = models.UUIDField(db_index=True)
    part = models.CharField(max_length=8, choices=Part)
    about = models.UUIDField(help_text="the payment, the message; of the goods the order itself")
    says = models.JSONField()
    told_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "heard"
        constraints = [models.UniqueConstraint(fields=["part", "about"], name="one_last_word")]

    def __str__(self) -> str:
        return f"{self.part} of order {self.order_id}"


def lines_of(order_id: UUID) -> list[events.Line]:
    """Return the lines of an order as they are told."""
    return [line.fact() for line in OrderLine.objects.filter(order_id=order_id)]
