"""What notifications remembers: whom it knows, which orders are open, and every message."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db import models
from django.template import Context
from django.template.loader import get_template
from django.utils import timezone, translation
from django.utils.dateparse import parse_datetime
from django.utils.formats import number_format

from eventbus import GiveUp
from infra.ids import new_id
from notifications.conf import conf
from notifications.errors import CutOff, NotFailed, Undeliverable
from notifications.events import CustomerTold, MessageWritten

PATIENCE = dt.timedelta(days=5)  # as long as mail servers try: RFC 5321, 4.5.4.1
WITHOUT_CENTS = {"IDR", "JPY", "KRW", "VND"}


class Channel(models.TextChoices):
    """The ways out of the house."""

    MAIL = "mail", "mail"
    SMS = "sms", "SMS"
    PUSH = "push", "push"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What notifications tells about a line of an order."""

    name: str
    quantity: int
    unit_price: Decimal


class Contact(models.Model):
    """Whom to tell, how, and in which language: notifications' own copy."""

    customer_id = models.UUIDField(primary_key=True)
    email = models.EmailField()
    name = models.CharField(max_length=120)
    language = models.CharField(max_length=2)
    phone = models.CharField(max_length=16, blank=True)
    wants_messages = models.BooleanField(default=True)
    mail = models.BooleanField(default=True)
    sms = models.BooleanField("SMS", default=True)
    push = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.email

    @classmethod
    def operator(cls) -> "Contact":
        """Return where the shop's own letters go."""
        address = conf.OPERATOR_EMAIL
        return cls(email=address, language=settings.LANGUAGE_CODE)

    def address(self, channel: str) -> str:
        """Return where a channel reaches them; empty where it cannot. Push goes by the id."""
        return {"mail": self.email, "sms": self.phone, "push": str(self.customer_id)}[channel]

    def refuses(self, channel: str) -> str:
        """Return why a channel must not be used, or nothing."""
        if not self.wants_messages:
            return "wants no messages"
        if not getattr(self, channel):
            return f"wants no {channel}"
        return "" if self.address(channel) else f"no address for {channel}"


class OrderNote(models.Model):
    """What has to be known of an order to decide whether a reminder makes sense."""

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

    def settle(self, state: str) -> None:
        """Hear that it is paid or cancelled; news may come late, and cancelled is the end."""
        if self.state != self.State.CANCELLED:
            self.state = state

    def is_payable(self, now: dt.datetime) -> bool:
        """Tell whether its customer can still pay, as far as is known here."""
        waits = self.state == self.State.PLACED and self.customer_id is not None
        return waits and self.expires_at is not None and self.expires_at > now


class Message(models.Model):
    """One message to one person. There is one of a kind about a thing, however often it is told."""

    class Kind(models.TextChoices):
        WELCOME = "welcome"
        ORDER_RECEIVED = "order_received"
        INVOICE = "invoice"
        ORDER_PAID_PUSH = "order_paid_push"
        CANCELLED = "cancelled"
        PAYMENT_REMINDER = "payment_reminder"
        STOCK_LOW = "stock_low"

    class State(models.TextChoices):
        WAITING = "waiting", "waiting: addressee not known yet"
        QUEUED = "queued"
        SENDING = "sending"
        SENT = "sent"
        MUTED = "muted"
        FAILED = "failed"

    NOT_ABOUT_ORDERS = {Kind.WELCOME, Kind.STOCK_LOW}
    CHANNELS = {Kind.PAYMENT_REMINDER: Channel.SMS, Kind.ORDER_PAID_PUSH: Channel.PUSH}

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    about = models.UUIDField(help_text="order, customer, or for low stock the news itself")
    customer_id = models.UUIDField(null=True, blank=True)
    channel = models.CharField(max_length=4, choices=Channel.choices)
    context = models.JSONField(default=dict)
    state = models.CharField(max_length=7, choices=State.choices, default=State.WAITING)
    reason = models.TextField(blank=True, help_text="why it is muted or failed")
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

    def address(self, contact: Contact, now: dt.datetime) -> MessageWritten | None:
        """Put it into words for its addressee, unless they want none."""
        self.to, self.reason = contact.address(self.channel), contact.refuses(self.channel)
        if self.reason:
            self.state = self.State.MUTED
            return None
        self.subject, self.body = self._composed(contact)
        self.state, self.queued_at = self.State.QUEUED, now
        return MessageWritten(message_id=self.id)

    def take_up(self, now: dt.datetime) -> bool:
        """Begin to send it; False where nothing is left to do.

        A letter found half sent was cut off, and mail has no key that makes it safe to repeat.
        Raises GiveUp.
        """
        if self.state == self.State.FAILED:
            raise GiveUp(reason=self.reason)
        if self.state == self.State.SENDING and self.channel == Channel.MAIL:
            raise CutOff()
        if self.state not in (self.State.QUEUED, self.State.SENDING):
            return False
        if self.queued_at and now - self.queued_at > PATIENCE:
            raise Undeliverable(reason=f"tried for {PATIENCE.days} days")
        self.state = self.State.SENDING
        return True

    def put_back(self) -> None:
        """Wait for another try: the channel was away, nothing went out."""
        self.state = self.State.QUEUED

    def went(self, reference: str) -> CustomerTold | None:
        """Remember that the other side has it, and under which name."""
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
        """Leave it to an operator; the first reason stands."""
        if self.state != self.State.FAILED:
            self.state, self.reason = self.State.FAILED, reason

    def mute(self, reason: str) -> None:
        """Keep it in, as it would only confuse."""
        self.state, self.reason = self.State.MUTED, reason

    def requeue(self, now: dt.datetime) -> MessageWritten:
        """Let it go out once more. Raises NotFailed."""
        if self.state != self.State.FAILED:
            raise NotFailed(state=self.state)
        self.state, self.reason, self.queued_at = self.State.QUEUED, "", now
        return MessageWritten(message_id=self.id)

    def _composed(self, contact: Contact) -> tuple[str, str]:
        language = contact.language if contact.language in dict(settings.LANGUAGES) else "en"
        template: Any = get_template(f"notifications/{self.kind}.{language}.txt")
        with translation.override(language):
            data = _readable({**self.context, "name": contact.name, "about": str(self.about)})
            text = template.template.render(Context(data, autoescape=False))
        if self.channel != Channel.MAIL:
            return "", " ".join(text.split())
        subject, _, body = text.partition("\n")
        return " ".join(subject.split())[:300], body.strip() + "\n"


def _readable(context: dict[str, Any]) -> dict[str, Any]:
    """Return the context with money and times as people write them, and all text in one line."""
    data = {k: " ".join(v.split()) if isinstance(v, str) else v for k, v in context.items()}
    money = partial(_money, currency=context.get("currency", ""))
    if "total" in data:
        data["total"] = money(Decimal(data["total"]))
    for name in {"at", "until"} & set(data):
        data[name] = parse_datetime(data[name])
    data["lines"] = [
        {
            **line,
            "unit_price": money(Decimal(line["unit_price"])),
            "amount": money(line["quantity"] * Decimal(line["unit_price"])),
        }
        for line in context.get("lines", ())
    ]
    return data


def _money(amount: Decimal, currency: str) -> str:
    digits = 0 if currency in WITHOUT_CENTS and amount == amount.to_integral_value() else 2
    sign = "Rp" if currency == "IDR" else f"{currency} "
    return sign + number_format(amount, digits, force_grouping=True)
