"""Orders and their lines."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

from django.db import models

from infra.ids import new_id
from orders import events


class Order(models.Model):
    """An order of a customer."""

    class Status(models.TextChoices):
        PLACED = "placed"
        RESERVED = "reserved"
        PAID = "paid"
        CANCELLED = "cancelled"

    OPEN = (Status.PLACED, Status.RESERVED)  # neither paid nor cancelled

    class Code(models.TextChoices):
        """Reasons of a cancellation, for programs."""

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
    code = models.CharField("cancellation code", max_length=12, choices=Code, blank=True)
    reason = models.CharField("cancellation reason", max_length=300, blank=True)
    placed_at = models.DateTimeField(db_index=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-placed_at"]

    def __str__(self) -> str:
        return f"Order {self.id}"

    def prefetched(self, lines: "list[OrderLine]") -> None:
        """Take lines just saved as prefetched, which saves a query."""
        self._prefetched_objects_cache = {"lines": lines}

    def placed(self, lines: list[events.Line]) -> events.OrderPlaced:
        """Return the event of a new order."""
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
        """Mark a placed order reserved. No event: inventory published StockReserved."""
        if self.status == self.Status.PLACED:
            self.status = self.Status.RESERVED

    def pay(self, lines: list[events.Line], at: dt.datetime) -> events.OrderPaid | None:
        """Mark an open order paid. If it was cancelled, payments refunds the payment."""
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
        """Cancel an order that was not paid in time."""
        if self.status == self.Status.PAID:
            return None  # inventory reserves its goods again when it handles OrderPaid
        return self.cancel(self.Code.LAPSED, "It was not paid in time.", at)

    def cancel(self, code: str, reason: str, at: dt.datetime) -> events.OrderCancelled | None:
        """Cancel the order. The reason of the first cancellation stays."""
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
    """A line with name and price as sold; later changes of the product do not alter it."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    position = models.PositiveIntegerField()
    sku = models.CharField(max_length=40)
    name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["order", "position"], name="order_line_position"),
            models.CheckConstraint(condition=models.Q(quantity__gt=0), name="order_line_quantity"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.sku}"

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price

    def as_event(self) -> events.Line:
        """Return the line in the form used in events."""
        return events.Line(
            sku=self.sku, name=self.name, quantity=self.quantity, unit_price=self.unit_price
        )


def event_lines(order_id: UUID) -> list[events.Line]:
    """Return the lines of an order in the form used in events."""
    return [line.as_event() for line in OrderLine.objects.filter(order_id=order_id)]
