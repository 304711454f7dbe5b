"""Events of other contexts about an order."""

from django.db import models


class OrderActivity(models.Model):
    """The latest event of another context about a part of an order: stock, payment or message."""

    class Part(models.TextChoices):
        """Parts of an order that belong to other contexts."""

        STOCK = "stock"
        PAYMENT = "payment"
        MESSAGE = "message"

    order_id = models.UUIDField(db_index=True)
    part = models.CharField(max_length=8, choices=Part)
    subject_id = models.UUIDField(help_text="id of the payment or message; for stock, of the order")
    details = models.JSONField()
    recorded_at = models.DateTimeField(help_text="when the event was recorded")

    class Meta:
        verbose_name_plural = "order activity"
        constraints = [
            models.UniqueConstraint(fields=["part", "subject_id"], name="latest_activity")
        ]

    def __str__(self) -> str:
        return f"{self.part} of order {self.order_id}"
