"""What inventory remembers, and what may become of it."""

import datetime as dt
from collections.abc import Iterable, Mapping

from django.db import models

from inventory import events

MOST = 2_000_000_000  # what the column for a quantity holds


class StockItem(models.Model):
    """The pieces of one product. Every change of a quantity leaves a Movement."""

    sku = models.CharField(max_length=40, primary_key=True)
    on_hand = models.PositiveIntegerField(default=0)
    reserved = models.PositiveIntegerField(default=0)
    low_at = models.PositiveIntegerField(default=0, help_text="say so when fewer are available")

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
        """What can still be reserved."""
        return self.on_hand - self.reserved

    def move(self, kind: str, *, on_hand: int = 0, reserved: int = 0) -> "Movement":
        """Change the quantities, and return the row of the ledger that says so."""
        self.on_hand += on_hand
        self.reserved += reserved
        return Movement(sku=self.sku, kind=kind, on_hand=on_hand, reserved=reserved)

    def fell_low(self, pieces: int) -> events.StockLow | None:
        """Say that few are left, once: when taking these pieces crossed the line."""
        if not self.available < self.low_at <= self.available + pieces:
            return None
        return events.StockLow(sku=self.sku, available=self.available, threshold=self.low_at)


class Movement(models.Model):
    """The ledger: append-only; the sums of its columns are the quantities of the item."""

    class Kind(models.TextChoices):
        """Why the goods moved."""

        REPLENISHED = "replenished"
        RESERVED = "reserved"
        RELEASED = "released"
        SOLD = "sold"
        RETURNED = "returned"

    id = models.BigAutoField(primary_key=True)
    sku = models.CharField(max_length=40, db_index=True)
    kind = models.CharField(max_length=12, choices=Kind)
    on_hand = models.IntegerField(help_text="change of the pieces on hand")
    reserved = models.IntegerField(help_text="change of the pieces set aside")
    order_id = models.UUIDField(null=True, db_index=True)
    cause = models.CharField(max_length=60, help_text="event:<id> or request:<id>")
    actor = models.CharField(max_length=120, blank=True)
    moved_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.sku} {self.on_hand:+d}/{self.reserved:+d}"


class Reservation(models.Model):
    """The goods of one order: all its lines, or none.

    A row may come before the order does: a question about a pin waits in it (`awaited`), a
    cancellation forbids what would come later (`released`).
    """

    class State(models.TextChoices):
        """Where a reservation stands."""

        AWAITED = "awaited"
        RESERVED = "reserved"
        REJECTED = "rejected"
        LAPSED = "lapsed"
        SOLD = "sold"
        RELEASED = "released"
        RETURNED = "returned"

    order_id = models.UUIDField(primary_key=True)
    state = models.CharField(max_length=12, choices=State, default=State.AWAITED)
    goods = models.JSONField(default=dict, help_text="pieces by sku")
    expires_at = models.DateTimeField(null=True)
    pinned_until = models.DateTimeField(null=True)
    asked_by = models.UUIDField(null=True, help_text="the payment that asks for a pin")
    question = models.UUIDField(null=True, help_text="the id of its question")

    def __str__(self) -> str:
        return f"{self.state} for order {self.order_id}"

    @property
    def may_be_made(self) -> bool:
        """Whether goods may still be set aside for this order."""
        return self.state in (self.State.AWAITED, self.State.LAPSED, self.State.REJECTED)

    def reserve(self, goods: Mapping[str, int], until: dt.datetime) -> events.StockReserved:
        """Hold the goods."""
        self.state, self.goods, self.expires_at = self.State.RESERVED, dict(goods), until
        return events.StockReserved(order_id=self.order_id, goods=told(goods), expires_at=until)

    def reject(self, shortages: Iterable[events.Shortage]) -> events.StockRejected:
        """Hold nothing, as something is missing."""
        self.state = self.State.REJECTED
        return events.StockRejected(order_id=self.order_id, shortages=list(shortages))

    def let_go(self, state: str, why: str) -> events.StockReleased:
        """Give the goods back."""
        self.state = state
        return events.StockReleased(order_id=self.order_id, goods=told(self.goods), why=why)

    def pin(self, until: dt.datetime) -> events.ReservationPinned | events.PinRefused:
        """Answer the question that was asked: the goods stay until then, or they are not there."""
        assert self.asked_by
        asked_by, self.asked_by = self.asked_by, None
        if self.state != self.State.RESERVED:
            reason = f"The goods are not reserved ({self.get_state_display().lower()})."
            return events.PinRefused(order_id=self.order_id, payment_id=asked_by, reason=reason)
        self.pinned_until = until
        return events.ReservationPinned(order_id=self.order_id, payment_id=asked_by, until=until)

    def overdue(self, now: dt.datetime) -> bool:
        """Whether the time to pay is over and no pin holds it."""
        return (
            self.state == self.State.RESERVED
            and bool(self.expires_at and self.expires_at <= now)
            and not (self.pinned_until and self.pinned_until > now)
        )


def told(goods: Mapping[str, int]) -> list[events.Goods]:
    """Return goods as they are told."""
    return [events.Goods(sku=sku, quantity=pieces) for sku, pieces in sorted(goods.items())]


def shortages(goods: Mapping[str, int], items: Mapping[str, StockItem]) -> list[events.Shortage]:
    """Return what is missing of the goods wanted."""
    left = {sku: items[sku].available if sku in items else 0 for sku in goods}
    return [
        events.Shortage(sku=sku, wanted=pieces, available=left[sku])
        for sku, pieces in sorted(goods.items())
        if left[sku] < pieces
    ]
