"""Adapters that send messages: a mail server, and providers of SMS and push messages."""

from django.conf import settings

from infra.circuit_breaker import CircuitBreaker, guarded
from notifications.conf import conf
from notifications.errors import Deferred, Undeliverable
from notifications.gateway.mail import MailServer
from notifications.gateway.port import Channel, Outgoing
from notifications.gateway.providers import FakeProvider, HttpProvider

__all__ = ["BREAKERS", "Channel", "Outgoing", "channel"]

BREAKERS = {
    name: CircuitBreaker(name, failures=10, reset_timeout=30.0, ignore=(Undeliverable, Deferred))
    for name in ("mail", "sms", "push")
}


def channel(name: str) -> Channel:
    """Return the adapter of a channel, behind its circuit breaker."""
    return guarded(_adapter(name), BREAKERS[name])


def _adapter(name: str) -> Channel:
    if name == "mail":
        return MailServer()
    url = getattr(conf, f"{name.upper()}_URL")
    return HttpProvider(name, url) if url else FakeProvider(settings.VAR / f"{name}.log")
