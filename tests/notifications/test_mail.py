"""E-mail by Django's SMTP backend and a real server on the loopback interface."""

import datetime as dt
import smtplib
import socket
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.core.mail.backends.smtp import EmailBackend

from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.models import DeadLetter, Event, Retry
from infra import clock
from notifications.gateway import BREAKERS
from notifications.models import Message
from notifications.services import send_again
from tests.notifications.conftest import Killed, kill_at


class SmtpServer:
    """A mail server; `rcpt_replies` and `data_replies` are replies to give before it accepts."""

    def __init__(self, port: int) -> None:
        self.emails: list[EmailMessage] = []
        self.rcpt_replies: list[str] = []
        self.data_replies: list[str] = []
        self.drops_connection = False
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.rcpt_replies:
            return self.rcpt_replies.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.data_replies:
            return self.data_replies.pop(0)
        self.emails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        if self.drops_connection:
            server.transport.abort()
        return "250 OK"

    def open(self) -> None:
        self._controller.start()

    def close(self) -> None:
        if self._controller.server:
            self._controller.stop()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(settings, free_port) -> Iterator[SmtpServer]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port
    settings.EMAIL_TIMEOUT = 5
    server = SmtpServer(free_port)
    yield server
    server.close()


def state() -> tuple[str, str]:
    email = Message.objects.get(kind="welcome")
    return email.state, email.reason


def test_an_email_arrives_once_as_it_was_written(calm, upstream, server):
    server.open()
    upstream.signed_up(name="Sári", language="id")
    calm.settle()

    [email] = server.emails
    kept = Message.objects.get()
    assert email["To"] == "sari@example.org"
    assert email["From"] == "Kabar <shop@kabar.example>"
    assert email["Subject"] == kept.subject == "Selamat datang di Kabar, Sári"
    assert email.get_content().replace("\r\n", "\n") == kept.body
    assert email["Message-ID"] == kept.provider_reference == f"<{kept.id}@kabar.example>"
    assert kept.state == "sent"
    assert kept.sent_at


def test_a_server_that_is_down_costs_no_attempt_and_gets_the_email_later(calm, upstream, server):
    upstream.signed_up()
    calm.settle(allow_failures=True)
    for _ in range(3):
        calm.later(minutes=1)
    assert state() == ("queued", "")
    assert Retry.objects.get().attempts == 0

    server.open()
    calm.later(minutes=1)
    calm.later(minutes=1)
    assert len(server.emails) == 1
    assert state() == ("sent", "")
    assert not Retry.objects.exists()


def test_an_outage_opens_the_breaker_and_one_success_closes_it(calm, upstream, server):
    upstream.signed_up()
    for _ in range(BREAKERS["mail"].failures):
        calm.later(minutes=1)
    assert BREAKERS["mail"].state == "open"

    server.open()
    calm.later(minutes=1)
    assert server.emails == []
    assert state() == ("queued", "")

    BREAKERS["mail"].close()
    calm.later(minutes=1)
    assert len(server.emails) == 1


def test_an_address_refused_for_good_fails_that_email_only(calm, upstream, server):
    server.open()
    server.rcpt_replies = ["550 no such mailbox"]
    upstream.signed_up()
    upstream.placed()
    calm.settle(allow_failures=True)

    assert state() == ("failed", "It cannot be delivered: 550 no such mailbox.")
    dead = DeadLetter.objects.get()
    assert (dead.consumer, dead.attempts) == ("notifications.send_message", 1)
    assert [email["Subject"] for email in server.emails] == ["We have received your order"]
    assert BREAKERS["mail"].state == "closed"


def test_an_email_refused_for_good_after_the_handover_fails_too(calm, upstream, server):
    server.open()
    server.data_replies = ["554 looks like spam"]
    upstream.signed_up()
    calm.settle(allow_failures=True)

    assert state() == ("failed", "It cannot be delivered: 554 looks like spam.")


@pytest.mark.parametrize("where", ["rcpt_replies", "data_replies"])
def test_an_email_the_server_defers_is_sent_later(calm, upstream, server, where):
    server.open()
    setattr(server, where, ["451 try again later"])
    upstream.signed_up()
    calm.settle(allow_failures=True)
    assert state() == ("queued", "")

    calm.later(minutes=6)
    assert len(server.emails) == 1
    assert state() == ("sent", "")


def test_an_email_the_server_always_defers_fails_after_days(calm, upstream, server):
    server.open()
    upstream.signed_up()
    for _ in range(6):
        server.rcpt_replies = ["451 try again later"]
        calm.later(days=1)

    assert state() == ("failed", "It cannot be delivered: tried for 5 days.")
    assert server.emails == []


def test_an_email_is_sent_later_if_the_session_breaks_before_the_handover(
    calm, upstream, server, monkeypatch
):
    def breaks(*_: object) -> None:
        raise smtplib.SMTPServerDisconnected("closed")

    server.open()
    upstream.signed_up()
    with monkeypatch.context() as patch:
        patch.setattr(smtplib.SMTP, "mail", breaks)
        calm.settle(allow_failures=True)
    assert state() == ("queued", "")

    calm.later(minutes=1)
    assert len(server.emails) == 1


def test_without_an_answer_after_the_handover_no_second_email_is_sent(calm, upstream, server):
    server.open()
    server.drops_connection = True
    upstream.signed_up()
    calm.settle(allow_failures=True)
    server.drops_connection = False
    for _ in range(3):
        calm.later(days=1)

    assert len(server.emails) == 1
    status, reason = state()
    assert status == "failed"
    assert reason.startswith("It was handed over, but no answer came, so it may have arrived")
    assert DeadLetter.objects.count() == 1


@pytest.mark.parametrize("moment", ["accepted", "started"])
def test_after_a_worker_dies_while_sending_no_second_email_is_sent(
    calm, upstream, server, monkeypatch, moment
):
    owner, method, arrived = {
        "accepted": (Message, "mark_sent", 1),
        "started": (EmailBackend, "send_messages", 0),
    }[moment]
    server.open()
    upstream.signed_up()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(owner, method, patch)
        calm.settle()
    assert state() == ("sending", "")

    clock.offset += dt.timedelta(minutes=10)
    event = to_cloudevent(Event.objects.get(name="notifications.MessageWritten").envelope())
    for _ in range(2):
        deliver(0, "notifications.send_message", [event])

    assert len(server.emails) == arrived
    assert state() == ("failed", "Sending was interrupted, so it may have arrived.")
    assert DeadLetter.objects.count() == 1


def test_an_operator_can_send_a_failed_email_again(calm, upstream, server):
    server.open()
    server.rcpt_replies = ["550 mailbox closed"]
    upstream.signed_up()
    calm.settle(allow_failures=True)

    send_again(Message.objects.get().id)
    calm.settle(allow_failures=True)

    assert len(server.emails) == 1
    assert state() == ("sent", "")


def test_a_refused_login_keeps_emails_queued(calm, upstream, server, settings):
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "kabar", "wrong"
    server.open()
    upstream.signed_up()
    calm.settle(allow_failures=True)

    assert state() == ("queued", "")
    assert "ChannelUnavailable" in Retry.objects.get().error


def test_without_a_server_emails_are_files(calm, upstream, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    upstream.signed_up()
    calm.settle()

    [file] = (tmp_path / "mail").iterdir()
    assert "Subject: Welcome to Kabar, Sari" in file.read_text()
