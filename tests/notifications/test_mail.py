"""Mail, by Django's own SMTP backend and a real server on the loopback."""

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
from notifications.gateway import LINES
from notifications.models import Message
from notifications.services import send_again


class PostOffice:
    """A mail server. The lists hold answers to give before it behaves."""

    def __init__(self, port: int) -> None:
        self.letters: list[EmailMessage] = []
        self.to_recipients: list[str] = []
        self.to_letters: list[str] = []
        self.silent = False
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if self.to_recipients:
            return self.to_recipients.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.to_letters:
            return self.to_letters.pop(0)
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        if self.silent:
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
def office(settings, free_port) -> Iterator[PostOffice]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port
    settings.EMAIL_TIMEOUT = 5
    office = PostOffice(free_port)
    yield office
    office.close()


def state() -> tuple[str, str]:
    letter = Message.objects.get(kind="welcome")
    return letter.state, letter.reason


def test_a_letter_arrives_once_as_it_was_written(calm, news, office):
    office.open()
    news.signed_up(name="Sári", language="id")
    calm.settle()

    [letter] = office.letters
    kept = Message.objects.get()
    assert letter["To"] == "sari@example.org"
    assert letter["From"] == "Kabar <shop@kabar.example>"
    assert letter["Subject"] == kept.subject == "Selamat datang di Kabar, Sári"
    assert letter.get_content().replace("\r\n", "\n") == kept.body
    assert letter["Message-ID"] == kept.provider_reference == f"<{kept.id}@kabar.example>"
    assert kept.state == "sent"
    assert kept.sent_at


def test_a_server_that_is_down_costs_no_attempt_and_gets_the_letter_once_it_is_back(
    calm, news, office
):
    news.signed_up()
    calm.settle(trouble=True)
    for _ in range(3):
        calm.later(minutes=1)
    assert state() == ("queued", "")
    assert Retry.objects.get().attempts == 0

    office.open()
    calm.later(minutes=1)
    calm.later(minutes=1)
    assert len(office.letters) == 1
    assert state() == ("sent", "")
    assert not Retry.objects.exists()


def test_an_outage_opens_the_breaker_and_one_success_closes_it(calm, news, office):
    news.signed_up()
    for _ in range(LINES["smtp"].failures):
        calm.later(minutes=1)
    assert LINES["smtp"].state == "open"

    office.open()
    calm.later(minutes=1)
    assert office.letters == []
    assert state() == ("queued", "")

    LINES["smtp"].close()
    calm.later(minutes=1)
    assert len(office.letters) == 1


def test_an_address_refused_for_good_fails_the_letter_and_nothing_else(calm, news, office):
    office.open()
    office.to_recipients = ["550 no such mailbox"]
    news.signed_up()
    news.placed()
    calm.settle(trouble=True)

    assert state() == ("failed", "It cannot be delivered: 550 no such mailbox.")
    dead = DeadLetter.objects.get()
    assert (dead.consumer, dead.attempts) == ("notifications.send_message", 1)
    assert [letter["Subject"] for letter in office.letters] == ["We have received your order"]
    assert LINES["smtp"].state == "closed"


def test_a_letter_refused_for_good_after_it_went_over_fails_too(calm, news, office):
    office.open()
    office.to_letters = ["554 looks like spam"]
    news.signed_up()
    calm.settle(trouble=True)

    assert state() == ("failed", "It cannot be delivered: 554 looks like spam.")


@pytest.mark.parametrize("where", ["to_recipients", "to_letters"])
def test_a_server_that_says_not_now_is_asked_again(calm, news, office, where):
    office.open()
    setattr(office, where, ["451 try again later"])
    news.signed_up()
    calm.settle(trouble=True)
    assert state() == ("queued", "")

    calm.later(minutes=6)
    assert len(office.letters) == 1
    assert state() == ("sent", "")


def test_a_server_that_says_not_now_for_ever_is_given_up_after_days(calm, news, office):
    office.open()
    news.signed_up()
    for _ in range(6):
        office.to_recipients = ["451 try again later"]
        calm.later(days=1)

    assert state() == ("failed", "It cannot be delivered: tried for 5 days.")
    assert office.letters == []


def test_a_session_that_breaks_before_the_letter_went_over_is_tried_again(
    calm, news, office, monkeypatch
):
    def breaks(*_: object) -> None:
        raise smtplib.SMTPServerDisconnected("gone")

    office.open()
    news.signed_up()
    with monkeypatch.context() as trouble:
        trouble.setattr(smtplib.SMTP, "mail", breaks)
        calm.settle(trouble=True)
    assert state() == ("queued", "")

    calm.later(minutes=1)
    assert len(office.letters) == 1


def test_silence_after_the_letter_went_over_is_never_answered_by_a_second_letter(
    calm, news, office
):
    office.open()
    office.silent = True
    news.signed_up()
    calm.settle(trouble=True)
    office.silent = False
    for _ in range(3):
        calm.later(days=1)

    assert len(office.letters) == 1
    failed, reason = state()
    assert failed == "failed"
    assert reason.startswith("It went over and no answer came, so it may have arrived")
    assert DeadLetter.objects.count() == 1


class Killed(BaseException):
    """What SIGKILL would do, as far as one process can play it."""


def kill_after(method: str, owner: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(owner, method, die)


@pytest.mark.parametrize("moment", ["accepted", "begun"])
def test_a_worker_killed_while_it_posts_a_letter_posts_it_no_second_time(
    calm, news, office, monkeypatch, moment
):
    owner, method, arrived = {
        "accepted": (Message, "went", 1),
        "begun": (EmailBackend, "send_messages", 0),
    }[moment]
    office.open()
    news.signed_up()
    with monkeypatch.context() as trouble, pytest.raises(Killed):
        kill_after(method, owner, trouble)
        calm.settle()
    assert state() == ("sending", "")

    clock.offset += dt.timedelta(minutes=10)
    written = to_cloudevent(Event.objects.get(name="notifications.MessageWritten").envelope())
    for _ in range(2):
        deliver(0, "notifications.send_message", [written])

    assert len(office.letters) == arrived
    assert state() == (
        "failed",
        "It was cut off while it was handed over, so it may have arrived.",
    )
    assert DeadLetter.objects.count() == 1


def test_an_operator_can_send_again_what_failed(calm, news, office):
    office.open()
    office.to_recipients = ["550 mailbox closed"]
    news.signed_up()
    calm.settle(trouble=True)

    send_again(Message.objects.get().id)
    calm.settle(trouble=True)

    assert len(office.letters) == 1
    assert state() == ("sent", "")


def test_a_server_that_wants_a_password_we_lack_keeps_letters_waiting(calm, news, office, settings):
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "kabar", "wrong"
    office.open()
    news.signed_up()
    calm.settle(trouble=True)

    assert state() == ("queued", "")
    assert "ChannelAway" in Retry.objects.get().error


def test_without_a_server_letters_are_files(calm, news, settings, tmp_path):
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    news.signed_up()
    calm.settle()

    [file] = (tmp_path / "mail").iterdir()
    assert "Subject: Welcome to Kabar, Sari" in file.read_text()
