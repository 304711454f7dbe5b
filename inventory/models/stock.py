"""Stock items, and the ledger of their movements."""

from django.db import models

from inventory import events

MAX_QUANTITY = 2_000_000_000  # below the column's limit of 2**31 - 1


class StockItem(models.Model):
    """The stock of one product. Every change of a quantity adds a Movement."""

    sku = models.CharField(max_length=40, primary_key=True)
    on_hand = models.PositiveIntegerField(default=0)
    reserved = models.PositiveIntegerField(default=0)
    low_stock_threshold = models.PositiveIntegerField(
        default=0, help_text="StockLow is published when fewer are available"
    )

    class Meta:
        ordering = ["sku"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(reserved__lte=models.F("on_hand")), name="never_oversold"
            )
        ]

    def __str__(self) -> str:
        return f"{self.sku}: {self.available} available"

    @property
    def available(self) -> int:
        """Pieces that can still be reserved."""
        return self.on_hand - self.reserved

    def move(self, kind: str, *, on_hand: int = 0, reserved: int = 0) -> "Movement":
        """Change the quantities; return the unsaved movement that records the change."""
        self.on_hand += on_hand
        self.reserved += reserved
        return Movement(sku=self.sku, kind=kind, on_hand=on_hand, reserved=reserved)

    def low_stock(self, taken: int) -> events.StockLow | None:
        """Return StockLow if taking these pieces crossed the threshold."""
        if not self.available < self.low_stock_threshold <= self.available + taken:
            return None
        return events.StockLow(
            sku=self.sku, available=self.available, threshold=self.low_stock_threshold
        )


class Movement(models.Model):
    """A row of the append-only ledger; the sums of its columns are the quantities of the item."""

    class Kind(models.TextChoices):
        """Reasons of a movement."""

        REPLENISHED = "replenished"
        RESERVED = "reserved"
        RELEASED = "released"
        SOLD = "sold"
        RETURNED = "returned"

    id = models.BigAutoField(primary_key=True)
    sku = models.CharField(max_length=40, db_index=True)
    kind = models.CharField(max_length=12, choices=Kind)
    on_hand = models.IntegerField(help_text="change of the pieces on hand")
    reserved = models.IntegerField(help_text="change of the pieces reserved")
    order_id = models.UUIDField(null=True, db_index=True)
    cause = models.CharField(max_length=60, help_text="event:<id> or request:<id>")
    actor = models.CharField(max_length=120, blank=True)
    moved_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.sku} {self.on_hand:+d}/{self.reserved:+d}"
