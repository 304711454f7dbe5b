"""Webhooks that were received."""

from django.db import models

from payments.models.bills import MAX_REASON


class Webhook(models.Model):
    """A webhook of a bank, kept for some days, so that a repetition of it changes nothing."""

    provider = models.CharField(max_length=20)
    webhook_id = models.CharField(max_length=255)
    kind = models.CharField(max_length=100)
    payment_id = models.UUIDField(null=True, blank=True, help_text="empty: no known payment")
    mismatch = models.CharField(
        max_length=MAX_REASON, blank=True, help_text="how its amount differs from ours"
    )
    received_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-received_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "webhook_id"], name="one_row_per_webhook")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.webhook_id}"
