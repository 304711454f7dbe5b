"""Messages and their states."""

import datetime as dt

from django.db import models
from django.utils import timezone

from eventbus import GiveUp
from infra.ids import new_id
from notifications.errors import Interrupted, NotFailed, Undeliverable
from notifications.events import CustomerTold, MessageWritten
from notifications.models.contacts import Channel, Contact
from notifications.models.wording import rendered

MAX_RETRY_TIME = dt.timedelta(days=5)  # as long as mail servers try: RFC 5321, 4.5.4.1


class Message(models.Model):
    """One message to one person; at most one of a kind about the same order or customer."""

    class Kind(models.TextChoices):
        WELCOME = "welcome"
        ORDER_RECEIVED = "order_received"
        INVOICE = "invoice"
        ORDER_PAID_PUSH = "order_paid_push"
        CANCELLED = "cancelled"
        PAYMENT_REMINDER = "payment_reminder"
        STOCK_LOW = "stock_low"

    class State(models.TextChoices):
        WAITING = "waiting", "waiting: contact not known yet"
        QUEUED = "queued"
        SENDING = "sending"
        SENT = "sent"
        MUTED = "muted", "muted: not sent, on purpose"
        FAILED = "failed"

    NOT_ABOUT_ORDERS = {Kind.WELCOME, Kind.STOCK_LOW}
    CHANNELS = {Kind.PAYMENT_REMINDER: Channel.SMS, Kind.ORDER_PAID_PUSH: Channel.PUSH}

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    about = models.UUIDField(help_text="order, customer, or for low stock the event itself")
    customer_id = models.UUIDField(null=True, blank=True)
    channel = models.CharField(max_length=4, choices=Channel.choices)
    context = models.JSONField(default=dict, help_text="values for the template")
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    reason = models.TextField(blank=True, help_text="of a muted or failed message")
    to = models.CharField(max_length=254, blank=True)
    subject = models.CharField(max_length=300, blank=True)
    body = models.TextField(blank=True)
    written_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    provider_reference = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "about"], name="one_of_a_kind")]
        indexes = [models.Index(fields=["customer_id", "id"], name="message_customer")]

    def __str__(self) -> str:
        return f"{self.kind} to {self.to or self.customer_id}"

    def compose(self, contact: Contact, now: dt.datetime) -> MessageWritten | None:
        """Write the text for a contact and queue it, or mute it if they do not want it."""
        self.to = contact.address_for(self.channel)
        reason = contact.reason_to_mute(self.channel)
        if reason:
            self.mute(reason)
            return None
        self._set_text(contact)
        self.state, self.queued_at = self.State.QUEUED, now
        return MessageWritten(message_id=self.id)

    def _set_text(self, contact: Contact) -> None:
        values = {**self.context, "name": contact.name, "about": str(self.about)}
        text = rendered(self.kind, contact.language, values)
        if self.channel == Channel.MAIL:
            subject, _, body = text.partition("\n")
            self.subject, self.body = " ".join(subject.split())[:300], body.strip() + "\n"
        else:
            self.body = " ".join(text.split())

    def start_sending(self, now: dt.datetime) -> bool:
        """Begin to send; False if there is nothing to do. Raises GiveUp."""
        if self.state == self.State.FAILED:
            raise GiveUp(reason=self.reason)
        # An earlier delivery died while sending, and mail has no key that makes it safe to repeat.
        if self.state == self.State.SENDING and self.channel == Channel.MAIL:
            raise Interrupted()
        if self.state not in (self.State.QUEUED, self.State.SENDING):
            return False
        if self.queued_at and now - self.queued_at > MAX_RETRY_TIME:
            raise Undeliverable(reason=f"tried for {MAX_RETRY_TIME.days} days")
        self.state = self.State.SENDING
        return True

    def return_to_queue(self) -> None:
        """Wait for another attempt: the channel was unavailable, and nothing was sent."""
        self.state = self.State.QUEUED

    def mark_sent(self, reference: str) -> CustomerTold | None:
        """Record that the other side accepted it, and under which reference."""
        self.state, self.sent_at = self.State.SENT, timezone.now()
        self.provider_reference = reference
        if self.kind in self.NOT_ABOUT_ORDERS:
            return None
        return CustomerTold(
            message_id=self.id,
            order_id=self.about,
            kind=self.kind,
            channel=self.channel,
            sent_at=self.sent_at,
        )

    def fail(self, reason: str) -> None:
        """Leave it to an operator; the first reason is kept."""
        if self.state != self.State.FAILED:
            self.state, self.reason = self.State.FAILED, reason

    def mute(self, reason: str) -> None:
        """Do not send it, and record the reason."""
        self.state, self.reason = self.State.MUTED, reason

    def send_again(self, now: dt.datetime) -> MessageWritten:
        """Queue a failed message again. Raises NotFailed."""
        if self.state != self.State.FAILED:
            raise NotFailed(state=self.state)
        self.state, self.reason, self.queued_at = self.State.QUEUED, "", now
        return MessageWritten(message_id=self.id)
