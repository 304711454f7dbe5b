"""How messages leave the house: by a mail server, and by providers of SMS and push."""

import json
import smtplib
from contextlib import suppress
from dataclasses import asdict, dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Any, NoReturn, Protocol

import httpx
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from infra.circuit_breaker import CircuitBreaker
from notifications.conf import conf
from notifications.errors import AskedToWait, ChannelAway, Unanswered, Undeliverable

LINES = {
    name: CircuitBreaker(name, failures=10, reset_timeout=30.0, ignore=(Undeliverable, AskedToWait))
    for name in ("smtp", "sms", "push")
}
AGAIN = 30.0  # seconds until a channel that was away is tried again
GREYLISTED = 300.0  # seconds: what servers that say "not now" on principle wait for
# What a provider says about itself or about us; every other 4xx is about the message.
NOT_ABOUT_THE_MESSAGE = {401, 403, 407, 408, 425, 429}


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """What goes out. The same `key` again is the same message again."""

    key: str
    to: str
    subject: str
    text: str


class Channel(Protocol):
    """A way out of the house."""

    def send(self, message: Outgoing) -> str:
        """Hand it over once and return the other side's reference. Raises TryLater, GiveUp."""


def channel(name: str) -> Channel:
    """Return the way out that the settings name; a fake provider where they name none."""
    if name == "mail":
        return Mail()
    url = getattr(conf, f"{name.upper()}_URL")
    return Provider(name, url) if url else FakeProvider(settings.VAR / f"{name}.log")


class Mail:
    """Mail has no idempotency key, so what may have been accepted is never offered again."""

    def send(self, message: Outgoing) -> str:
        """Post a letter by Django's mail backend."""
        domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
        reference = f"<{message.key}@{domain}>"
        letter = EmailMessage(
            message.subject, message.text, to=[message.to], headers={"Message-ID": reference}
        )
        LINES["smtp"].call(_post, letter)
        return reference


def _post(letter: EmailMessage) -> None:
    backend: BaseEmailBackend = get_connection()
    try:
        backend.open()
    except OSError as away:
        raise ChannelAway(channel="mail", seconds=AGAIN, reason=away) from away
    handover = Handover(getattr(backend, "connection", None))
    try:
        backend.send_messages([letter])
    except (OSError, ValueError) as error:
        _explain(error, handover)
    finally:
        with suppress(OSError):
            backend.close()


class Handover:
    """Knows whether the letter itself went over: from then on, silence is not a no."""

    def __init__(self, session: smtplib.SMTP | None) -> None:
        self.begun = False
        if session is not None:
            self._data = session.data
            session.data = self  # type: ignore[method-assign, assignment]

    def __call__(self, letter: Any) -> tuple[int, bytes]:
        """Stand in for the session's DATA command."""
        self.begun = True
        return self._data(letter)


def _explain(error: Exception, handover: Handover) -> NoReturn:
    match error:
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            code, reason = next(iter(refused.values()))
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reason):
            pass
        case ValueError() | smtplib.SMTPNotSupportedError():
            raise Undeliverable(reason=error) from error
        case _ if handover.begun:
            raise Unanswered(reason=error) from error
        case _:
            raise ChannelAway(channel="mail", seconds=AGAIN, reason=error) from error
    said = f"{code} {reason.decode(errors='replace') if isinstance(reason, bytes) else reason}"
    if code >= 500:
        raise Undeliverable(reason=said) from error
    raise AskedToWait(channel="mail", seconds=GREYLISTED, reason=said) from error


@dataclass(frozen=True)
class Provider:
    """A provider over HTTP: it keeps the promise that one key is one message."""

    name: str
    url: str

    def send(self, message: Outgoing) -> str:
        """Post JSON, with the key in the body and in the Idempotency-Key header."""
        return LINES[self.name].call(self._ask, message)

    def _ask(self, message: Outgoing) -> str:
        try:
            answer = httpx.post(
                self.url,
                json={"to": message.to, "text": message.text, "key": message.key},
                headers={"Idempotency-Key": message.key},
                timeout=conf.PROVIDER_TIMEOUT,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as away:
            raise ChannelAway(channel=self.name, seconds=AGAIN, reason=away) from away
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> str:
        reason = f"{answer.status_code} {answer.text[:200]}"
        if answer.is_success:
            return _reference(answer)
        if answer.status_code == 429:
            raise AskedToWait(channel=self.name, seconds=_pause(answer), reason=reason)
        if answer.is_client_error and answer.status_code not in NOT_ABOUT_THE_MESSAGE:
            raise Undeliverable(reason=reason)
        raise ChannelAway(channel=self.name, seconds=_pause(answer), reason=reason)


def _pause(answer: httpx.Response) -> float:
    wish = answer.headers.get("Retry-After", "")
    return min(float(wish), 3600.0) if wish.isdecimal() else AGAIN


def _reference(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["id"])[:200]
    except (ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True)
class FakeProvider:
    """A provider that delivers into a file, a line of JSON each; it knows the latest keys."""

    path: Path

    def send(self, message: Outgoing) -> str:
        """Write the message down, unless it is there."""
        with self.path.open("a+b") as log:
            log.seek(max(0, log.tell() - 65_536))
            if message.key.encode() not in log.read():
                log.write(json.dumps(asdict(message)).encode() + b"\n")
        return message.key
