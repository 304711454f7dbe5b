"""Bills: the amount that an order costs."""

from django.db import models

MAX_REASON = 300  # characters


class Bill(models.Model):
    """The amount of an order, from `OrderPlaced`; its row is the lock of all its payments.

    A bill without an amount is a tombstone: the cancellation arrived before the order.
    """

    class State(models.TextChoices):
        OPEN = "open"
        CANCELLED = "cancelled"

    order_id = models.UUIDField(primary_key=True, editable=False)
    customer_id = models.UUIDField()
    amount = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True, help_text="ISO 4217")
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166-1 alpha-2")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    reason = models.CharField(max_length=MAX_REASON, blank=True)

    def __str__(self) -> str:
        return f"Bill of order {self.order_id}"

    @property
    def cancelled(self) -> bool:
        return self.state == self.State.CANCELLED

    def cancel(self, reason: str) -> None:
        """Accept no payment from now on; money that arrives later is refunded."""
        self.state, self.reason = self.State.CANCELLED, reason[:MAX_REASON]
