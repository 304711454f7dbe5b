"""What payments remembers, and what may become of it."""

import datetime as dt
from decimal import Decimal
from uuid import UUID

from django.db import models

from eventbus import Event
from infra.ids import new_id
from payments import events

LONGEST_REASON = 300


class Bill(models.Model):
    """What an order costs, as orders said it; its row is the lock of all its payments.

    One without an amount is a tombstone: the cancellation came before the order.
    """

    class State(models.TextChoices):
        """Whether there is still something to pay for."""

        OPEN = "open"
        CANCELLED = "cancelled"

    order_id = models.UUIDField(primary_key=True, editable=False)
    customer_id = models.UUIDField()
    amount = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True, help_text="ISO 4217")
    country = models.CharField(max_length=2, blank=True, help_text="ISO 3166-1 alpha-2")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)

    def __str__(self) -> str:
        return f"Bill of order {self.order_id}"

    @property
    def cancelled(self) -> bool:
        """Whether the sale is off."""
        return self.state == self.State.CANCELLED

    def cancel(self, reason: str) -> None:
        """Expect no money any more; what comes all the same goes back."""
        self.state, self.reason = self.State.CANCELLED, reason[:LONGEST_REASON]

    def charge(self, card: str, at: dt.datetime, business_time: dt.datetime | None) -> "Payment":
        """Return a new payment of this bill."""
        assert self.amount is not None, "a tombstone is cancelled, and nobody pays it"
        return Payment(
            order_id=self.order_id,
            customer_id=self.customer_id,
            amount=self.amount,
            currency=self.currency,
            card=card,
            requested_at=at,
            business_time=business_time,
        )


class Payments(models.Manager["Payment"]):
    """Finds payments by what they wait for."""

    def unanswered(self, question: UUID) -> models.QuerySet["Payment"]:
        """Who still waits for the answer to this question."""
        waiting = self.filter(status=Payment.Status.REQUESTED, pinned_until=None)
        return waiting.filter(question=question)


class Payment(models.Model):
    """One try to take the money of an order. Its methods return the fact they caused, or None."""

    class Status(models.TextChoices):
        """Where a payment stands."""

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
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    verdict = models.CharField(
        max_length=LONGEST_REASON, blank=True, help_text="of the fraud check, or of who decided"
    )
    question = models.UUIDField(help_text="the PinRequested whose answer counts")
    pinned_until = models.DateTimeField(null=True, blank=True)
    asked = models.PositiveIntegerField(
        default=0, help_text="times the bank was asked; from 1 on only its answer ends the payment"
    )
    asked_at = models.DateTimeField(null=True, blank=True, help_text="when, the last time")
    bank_reference = models.TextField(blank=True)
    mismatch = models.CharField(
        max_length=LONGEST_REASON, blank=True, help_text="what the bank says that we do not know"
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

    def awaits(self, question: UUID | None) -> bool:
        """Whether an answer to this question can still matter."""
        return self.status == self.Status.REQUESTED and self.question == question

    @property
    def capture_key(self) -> str:
        """The idempotency key of its capture, by which the bank knows it."""
        return f"{self.id}-capture"

    @property
    def holds_money(self) -> bool:
        """Whether money of it is with us; where it was declined, it came too late."""
        late = self.status == self.Status.DECLINED and self.bank_reference and not self.refunded_at
        return self.status == self.Status.CAPTURED or bool(late)

    def differs(self, amount: Decimal, currency: str) -> str:
        """Say how this differs from what the bank says, if it does."""
        if (amount, currency) == (self.amount, self.currency):
            return ""
        return f"{amount} {currency}, not {self.amount} {self.currency}"[:LONGEST_REASON]

    def ask(self, at: dt.datetime) -> None:
        """Note that the bank is about to be asked for the money."""
        self.asked, self.asked_at = self.asked + 1, at

    def pin_requested(self) -> events.PinRequested:
        """Ask whether the goods will stay."""
        return events.PinRequested(order_id=self.order_id, payment_id=self.id)

    def hold(self, verdict: str) -> None:
        """Leave the decision to an operator, unless the bank has it already."""
        if not self.asked:
            self.status, self.verdict = self.Status.HELD, verdict

    def refuse(self, verdict: str) -> events.PaymentDeclined | None:
        """End for good before the bank is asked; the verdict is not for the customer."""
        if not self.asked:
            self.verdict = verdict
        return self.drop("The payment was refused.", final=True)

    def release(self, verdict: str) -> None:
        """Go on with a payment that was held, from the question about the goods on."""
        self.status, self.verdict, self.pinned_until = self.Status.REQUESTED, verdict, None

    def capture(self, reference: str, at: dt.datetime) -> events.PaymentCaptured | None:
        """Have the money, once."""
        if self.status != self.Status.REQUESTED:
            return None
        self.captured_at = self.business_time or at
        self.status, self.bank_reference = self.Status.CAPTURED, reference
        return events.PaymentCaptured(
            payment_id=self.id,
            order_id=self.order_id,
            customer_id=self.customer_id,
            amount=self.amount,
            currency=self.currency,
            captured_at=self.captured_at,
        )

    def come_late(self, reference: str) -> bool:
        """Note money that came after the end of this payment; it is not kept. True once."""
        if self.status != self.Status.DECLINED or self.bank_reference:
            return False
        self.bank_reference = reference
        return True

    def decline(self, reason: str, *, final: bool) -> events.PaymentDeclined | None:
        """End without money, once."""
        if self.status not in (self.Status.REQUESTED, self.Status.HELD):
            return None
        self.status, self.reason = self.Status.DECLINED, reason[:LONGEST_REASON]
        return events.PaymentDeclined(
            payment_id=self.id,
            order_id=self.order_id,
            customer_id=self.customer_id,
            reason=self.reason,
            final=final,
        )

    def drop(self, reason: str, *, final: bool = False) -> events.PaymentDeclined | None:
        """End without the bank's word: only while it was not asked, and can have moved nothing."""
        return None if self.asked else self.decline(reason, final=final)

    def let_go(self, reason: str) -> Event | None:
        """Follow a cancelled order: money goes back, a try not yet at the bank ends."""
        if self.status == self.Status.CAPTURED:
            return self.refund_due(reason)
        return self.drop("The order was cancelled.")

    def refund_due(self, reason: str) -> events.RefundDue:
        """Say that this money is not ours."""
        return events.RefundDue(payment_id=self.id, reason=reason)

    def refund(self, reason: str, at: dt.datetime) -> events.PaymentRefunded | None:
        """Have given the money back, once."""
        if not self.holds_money:
            return None
        self.refunded_at = at
        if self.status == self.Status.DECLINED:
            return None  # nobody was told that this money came
        self.status, self.reason = self.Status.REFUNDED, reason[:LONGEST_REASON]
        return events.PaymentRefunded(
            payment_id=self.id,
            order_id=self.order_id,
            customer_id=self.customer_id,
            amount=self.amount,
            currency=self.currency,
            reason=self.reason,
            refunded_at=at,
        )


class Webhook(models.Model):
    """A call of the bank's, kept for some days: the same one again changes nothing."""

    provider = models.CharField(max_length=20)
    webhook_id = models.CharField(max_length=255)
    kind = models.CharField(max_length=100)
    payment_id = models.UUIDField(null=True, blank=True, help_text="if it is one of ours")
    mismatch = models.CharField(max_length=LONGEST_REASON, blank=True)
    received_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-received_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "webhook_id"], name="one_row_per_webhook")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.webhook_id}"
