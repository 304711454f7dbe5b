"""Reservations of the goods of an order."""

import datetime as dt
from collections.abc import Iterable, Mapping

from django.db import models

from inventory import events
from inventory.models.stock import StockItem


class Reservation(models.Model):
    """The reserved goods of one order: all its lines, or none.

    Events may arrive in any order. A row created before OrderPlaced arrived keeps a pin request
    (`awaited`), or prevents a reservation because OrderCancelled came first (`released`).
    """

    class State(models.TextChoices):
        """States of a reservation; the README has the table of transitions."""

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
    pin_payment_id = models.UUIDField(null=True, help_text="payment with an unanswered pin request")
    pin_request_id = models.UUIDField(null=True, help_text="id of its PinRequested event")

    def __str__(self) -> str:
        return f"{self.state} for order {self.order_id}"

    @property
    def can_reserve(self) -> bool:
        """Whether goods may still be reserved for this order."""
        return self.state in (self.State.AWAITED, self.State.LAPSED, self.State.REJECTED)

    def reserve(self, goods: Mapping[str, int], until: dt.datetime) -> events.StockReserved:
        """Reserve the goods until then."""
        self.state, self.goods, self.expires_at = self.State.RESERVED, dict(goods), until
        return events.StockReserved(
            order_id=self.order_id, goods=event_goods(goods), expires_at=until
        )

    def reject(self, shortages: Iterable[events.Shortage]) -> events.StockRejected:
        """Reserve nothing, since products are missing."""
        self.state = self.State.REJECTED
        return events.StockRejected(order_id=self.order_id, shortages=list(shortages))

    def release(self, state: str, why: str) -> events.StockReleased:
        """Release the goods, with the state after it and its reason."""
        self.state = state
        return events.StockReleased(order_id=self.order_id, goods=event_goods(self.goods), why=why)

    def pin(self, until: dt.datetime) -> events.ReservationPinned | events.PinRefused:
        """Answer the pin request: the reservation stays until then, or there is none."""
        assert self.pin_payment_id
        payment_id, self.pin_payment_id = self.pin_payment_id, None
        if self.state != self.State.RESERVED:
            reason = f"The goods are not reserved ({self.get_state_display().lower()})."
            return events.PinRefused(order_id=self.order_id, payment_id=payment_id, reason=reason)
        self.pinned_until = until
        return events.ReservationPinned(order_id=self.order_id, payment_id=payment_id, until=until)

    def overdue(self, now: dt.datetime) -> bool:
        """Whether the time to pay is over and no pin is in force."""
        return (
            self.state == self.State.RESERVED
            and bool(self.expires_at and self.expires_at <= now)
            and not (self.pinned_until and self.pinned_until > now)
        )


def event_goods(goods: Mapping[str, int]) -> list[events.Goods]:
    """Return goods in the form used in events."""
    return [events.Goods(sku=sku, quantity=quantity) for sku, quantity in sorted(goods.items())]


def shortages(goods: Mapping[str, int], items: Mapping[str, StockItem]) -> list[events.Shortage]:
    """Return the products of which fewer pieces are available than wanted."""
    available = {sku: items[sku].available if sku in items else 0 for sku in goods}
    return [
        events.Shortage(sku=sku, wanted=quantity, available=available[sku])
        for sku, quantity in sorted(goods.items())
        if available[sku] < quantity
    ]
