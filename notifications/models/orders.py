"""Orders, as far as reminders need them."""

import datetime as dt

from django.db import models


class OrderNote(models.Model):
    """The facts about an order that decide whether a payment reminder is sent."""

    class State(models.TextChoices):
        PLACED = "placed"
        PAID = "paid"
        CANCELLED = "cancelled"

    order_id = models.UUIDField(primary_key=True)
    customer_id = models.UUIDField(null=True)
    state = models.CharField(max_length=9, choices=State.choices, default=State.PLACED)
    total = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True)
    expires_at = models.DateTimeField("reserved until", null=True)

    def __str__(self) -> str:
        return f"{self.order_id} {self.state}"

    def become(self, state: str) -> None:
        """Change the state; cancelled is final, also when an older event arrives later."""
        if self.state != self.State.CANCELLED:
            self.state = state

    def is_payable(self, now: dt.datetime) -> bool:
        """Whether the customer can still pay, as far as is known here."""
        unpaid = self.state == self.State.PLACED and self.customer_id is not None
        return unpaid and self.expires_at is not None and self.expires_at > now
