"""E-mail by Django's mail backend: a message is never sent twice.

Mail has no idempotency key: once the server may have accepted a message, sending it again could
deliver it twice. So an error before the handover is a reason to try again; silence after it is not.
"""

import smtplib
from contextlib import suppress
from email.utils import parseaddr
from typing import Any, NoReturn

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

from notifications.errors import ChannelUnavailable, Deferred, Unanswered, Undeliverable
from notifications.gateway.port import Outgoing

RETRY_AFTER = 30.0  # seconds
GREYLISTED_FOR = 300.0  # seconds: servers that defer each first attempt want a pause of minutes


class MailServer:
    """The server at EMAIL_URL; the reference of a message is its Message-ID."""

    def send(self, message: Outgoing) -> str:
        domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
        reference = f"<{message.key}@{domain}>"
        headers = {"Message-ID": reference}
        _send(EmailMessage(message.subject, message.text, to=[message.to], headers=headers))
        return reference


def _send(email: EmailMessage) -> None:
    backend: BaseEmailBackend = get_connection()
    try:
        backend.open()
    except OSError as error:
        raise ChannelUnavailable(channel="mail", seconds=RETRY_AFTER, reason=error) from error
    handover = Handover(getattr(backend, "connection", None))
    try:
        backend.send_messages([email])
    except (OSError, ValueError) as error:
        _raise_outcome(error, handover)
    finally:
        with suppress(OSError):
            backend.close()


class Handover:
    """Records whether the session has begun to send the body of the e-mail."""

    def __init__(self, session: smtplib.SMTP | None) -> None:
        self.begun = False
        if session is not None:
            self._data = session.data
            session.data = self  # type: ignore[method-assign, assignment]

    def __call__(self, body: Any) -> tuple[int, bytes]:
        """Replace the session's DATA command."""
        self.begun = True
        return self._data(body)


def _raise_outcome(error: Exception, handover: Handover) -> NoReturn:
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
            raise ChannelUnavailable(channel="mail", seconds=RETRY_AFTER, reason=error) from error
    reply = f"{code} {reason.decode(errors='replace') if isinstance(reason, bytes) else reason}"
    if code >= 500:
        raise Undeliverable(reason=reply) from error
    raise Deferred(channel="mail", seconds=GREYLISTED_FOR, reason=reply) from error
