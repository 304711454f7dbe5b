"""Payments and their states."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

from django.db import models

from eventbus import Event
from infra.ids import new_id
from payments.events import (
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PinRequested,
    RefundDue,
)
from payments.models.bills import MAX_REASON, Bill


class Payments(models.Manager["Payment"]):
    """Reads payments for services."""

    def locked(self, payment_id: UUID) -> tuple[Bill, "Payment"]:
        """Lock a payment's bill, then read the payment. A payment changes only under that lock."""
        order_id = self.filter(pk=payment_id).values("order_id")
        bill = Bill.objects.select_for_update().get(pk__in=order_id)
        return bill, self.get(pk=payment_id)

    def awaiting(self, pin_request_id: UUID) -> models.QuerySet["Payment"]:
        """Return the payment that still waits for the reply to a PinRequested event."""
        waiting = self.filter(status=Payment.Status.REQUESTED, pinned_until=None)
        return waiting.filter(pin_request_id=pin_request_id)


class Payment(models.Model):
    """One attempt to pay a bill. Methods return the event that they caused, or None."""

    class Status(models.TextChoices):
        REQUESTED = "requested"
        HELD = "held"
        CAPTURED = "captured"
        DECLINED = "declined"
        REFUNDED = "refunded"

    LIVE = (Status.REQUESTED, Status.HELD, Status.CAPTURED)

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order_id = models.UUIDField(db_index=True)
    customer_id = models.UUIDField(db_index=True)
    amount = models.DecimalField(max_digits=14, decimal_places=2)
    currency = models.CharField(max_length=3, help_text="ISO 4217")
    card = models.CharField(max_length=64, help_text="the bank's token, never a card number")
    status = models.CharField(max_length=10, choices=Status, default=Status.REQUESTED)
    reason = models.CharField(max_length=MAX_REASON, blank=True)
    verdict = models.CharField(
        max_length=MAX_REASON, blank=True, help_text="of the fraud check, or of an operator"
    )
    pin_request_id = models.UUIDField(help_text="the PinRequested event whose reply counts")
    pinned_until = models.DateTimeField(null=True, blank=True)
    capture_attempts = models.PositiveIntegerField(
        default=0, help_text="from the first one on only the bank's answer ends the payment"
    )
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    bank_reference = models.TextField(blank=True)
    mismatch = models.CharField(
        max_length=MAX_REASON, blank=True, help_text="how the bank's amount differs from ours"
    )
    requested_at = models.DateTimeField()
    business_time = models.DateTimeField(
        null=True, blank=True, help_text="when an imported sale was paid"
    )
    captured_at = models.DateTimeField(null=True, blank=True)
    refunded_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=0)

    objects = Payments()

    class Meta:
        ordering = ["-requested_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["order_id"],
                condition=models.Q(status__in=["requested", "held", "captured"]),
                name="one_live_payment_per_order",
            )
        ]
        indexes = [
            models.Index(
                fields=["bank_reference"],
                condition=~models.Q(bank_reference=""),
                name="payment_by_bank_reference",
            )
        ]

    def __str__(self) -> str:
        return f"Payment {self.id}"

    @classmethod
    def of_bill(
        cls, bill: Bill, card: str, at: dt.datetime, business_time: dt.datetime | None = None
    ) -> "Payment":
        """Return a new payment of a bill's amount, not yet saved."""
        assert bill.amount is not None, "a tombstone is cancelled, so it is never paid"
        return cls(
            order_id=bill.order_id,
            customer_id=bill.customer_id,
            amount=bill.amount,
            currency=bill.currency,
            card=card,
            requested_at=at,
            business_time=business_time,
        )

    @property
    def capture_key(self) -> str:
        """The idempotency key of the capture, by which the bank can be asked about it."""
        return f"{self.id}-capture"

    @property
    def refund_key(self) -> str:
        """The idempotency key of the refund."""
        return f"{self.id}-refund"

    @property
    def holds_money(self) -> bool:
        """Whether we have money of it. Of a declined payment, it arrived after the decline."""
        late = self.status == self.Status.DECLINED and self.bank_reference and not self.refunded_at
        return self.status == self.Status.CAPTURED or bool(late)

    def awaits(self, pin_request_id: UUID | None) -> bool:
        """Whether the reply to this PinRequested event still counts."""
        return self.status == self.Status.REQUESTED and self.pin_request_id == pin_request_id

    def difference(self, amount: Decimal, currency: str) -> str:
        """Return how an amount differs from the payment's, or an empty text."""
        if (amount, currency) == (self.amount, self.currency):
            return ""
        return f"{amount} {currency}, not {self.amount} {self.currency}"[:MAX_REASON]

    def pin_requested(self) -> PinRequested:
        return PinRequested(order_id=self.order_id, payment_id=self.id)

    def refund_due(self, reason: str) -> RefundDue:
        return RefundDue(payment_id=self.id, reason=reason)

    def start_attempt(self, at: dt.datetime) -> None:
        """Record that a capture is about to be sent to the bank."""
        self.capture_attempts, self.last_attempt_at = self.capture_attempts + 1, at

    def hold(self, verdict: str) -> None:
        """Leave the decision to an operator, unless a capture was sent already."""
        if not self.capture_attempts:
            self.status, self.verdict = self.Status.HELD, verdict

    def release(self, verdict: str) -> None:
        """Continue a held payment, beginning with a new request for the goods."""
        self.status, self.verdict, self.pinned_until = self.Status.REQUESTED, verdict, None

    def refuse(self, verdict: str) -> PaymentDeclined | None:
        """Decline for good before a capture is sent. The customer does not see the verdict."""
        if not self.capture_attempts:
            self.verdict = verdict
        return self.decline_uncaptured("The payment was refused.", final=True)

    def cancel(self, reason: str) -> Event | None:
        """Follow a cancelled order: refund captured money, or end before a capture is sent."""
        if self.status == self.Status.CAPTURED:
            return self.refund_due(reason)
        return self.decline_uncaptured("The order was cancelled.")

    def decline_uncaptured(self, reason: str, *, final: bool = False) -> PaymentDeclined | None:
        """Decline without an answer of the bank: only while no capture was sent."""
        return None if self.capture_attempts else self.decline(reason, final=final)

    def decline(self, reason: str, *, final: bool) -> PaymentDeclined | None:
        """End without money, once."""
        if self.status not in (self.Status.REQUESTED, self.Status.HELD):
            return None
        self.status, self.reason = self.Status.DECLINED, reason[:MAX_REASON]
        return PaymentDeclined(
            payment_id=self.id,
            order_id=self.order_id,
            customer_id=self.customer_id,
            reason=self.reason,
            final=final,
        )

    def capture(self, reference: str, at: dt.datetime) -> PaymentCaptured | None:
        """Record that the money arrived, once."""
        if self.status != self.Status.REQUESTED:
            return None
        self.captured_at = self.business_time or at
        self.status, self.bank_reference = self.Status.CAPTURED, reference
        return PaymentCaptured(
            payment_id=self.id,
            order_id=self.order_id,
            customer_id=self.customer_id,
            amount=self.amount,
            currency=self.currency,
            captured_at=self.captured_at,
        )

    def capture_late(self, reference: str) -> bool:
        """Record money that arrived after the decline; it will be refunded. True once."""
        if self.status != self.Status.DECLINED or self.bank_reference:
            return False
        self.bank_reference = reference
        return True

    def refund(self, reason: str, at: dt.datetime) -> PaymentRefunded | None:
        """Record that the money was refunded, once."""
        if not self.holds_money:
            return None
        self.refunded_at = at
        if self.status == self.Status.DECLINED:
            return None  # no PaymentCaptured was published for this money
        self.status, self.reason = self.Status.REFUNDED, reason[:MAX_REASON]
        return PaymentRefunded(
            payment_id=self.id,
            order_id=self.order_id,
            customer_id=self.customer_id,
            amount=self.amount,
            currency=self.currency,
            reason=self.reason,
            refunded_at=at,
        )
