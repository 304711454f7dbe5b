"""Contacts: the addresses, language and preferences of customers."""

from django.conf import settings
from django.db import models

from notifications.conf import conf


class Channel(models.TextChoices):
    """The channels by which a message can be sent."""

    MAIL = "mail", "mail"
    SMS = "sms", "SMS"
    PUSH = "push", "push"


class Contact(models.Model):
    """A customer as a recipient: notifications' own copy, made from `CustomerSignedUp`."""

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
        """Return the operator's contact, which is not in the database."""
        return cls(email=conf.OPERATOR_EMAIL, language=settings.LANGUAGE_CODE)

    def address_for(self, channel: str) -> str:
        """Return the address on a channel, or an empty one. A push message goes to the id."""
        return {"mail": self.email, "sms": self.phone, "push": str(self.customer_id)}[channel]

    def reason_to_mute(self, channel: str) -> str:
        """Return the reason not to use a channel, or an empty one."""
        if not self.wants_messages:
            return "wants no messages"
        if not getattr(self, channel):
            return f"wants no {channel}"
        return "" if self.address_for(channel) else f"no address for {channel}"
