"""Read models: one row a fact, all of it rebuildable from the event log."""

from django.db import models


class OrderFact(models.Model):
    """The progress of an order. Each event fills its own columns, in any order of arrival."""

    order_id = models.UUIDField(primary_key=True)
    day = models.DateField("day placed", null=True, db_index=True, help_text="UTC")
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166-1 alpha-2")
    total = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True, help_text="ISO 4217")
    placed_at = models.DateTimeField(null=True)
    reserved_at = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    cancel_code = models.CharField(max_length=40, blank=True)

    def __str__(self) -> str:
        return f"Order {self.order_id}"


class SaleLine(models.Model):
    """A line of a paid order, as it was sold."""

    order_id = models.UUIDField()
    position = models.PositiveIntegerField()
    day = models.DateField("day placed", help_text="UTC")
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")
    sku = models.CharField(max_length=40)
    name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField()
    amount = models.DecimalField(max_digits=16, decimal_places=2)
    currency = models.CharField(max_length=3, help_text="ISO 4217")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order_id", "position"], name="sale_line_position")
        ]
        indexes = [
            models.Index(fields=["day"], name="sale_day"),
            models.Index(fields=["sku", "day"], name="sale_product"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.sku}"


class Refund(models.Model):
    """A refund. It is not subtracted from the sales."""

    payment_id = models.UUIDField(primary_key=True)
    order_id = models.UUIDField(db_index=True)
    day = models.DateField("day refunded", db_index=True, help_text="UTC")
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    currency = models.CharField(max_length=3, help_text="ISO 4217")

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class SignUp(models.Model):
    """A sign-up: day and country. Personal data stays in accounts."""

    customer_id = models.UUIDField(primary_key=True)
    day = models.DateField("day signed up", db_index=True, help_text="UTC")
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2")

    def __str__(self) -> str:
        return f"{self.country} {self.day}"


class Chart(OrderFact):
    """Entry of the charts in the admin. It has no table of its own."""

    class Meta:
        proxy = True
        default_permissions = ()
