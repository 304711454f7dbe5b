"""The reminder to pay: in time, only where there is something to pay, and not for ever."""

import datetime as dt
import json

import pytest

from infra import clock
from notifications.errors import ChannelAway
from notifications.events import PaymentReminderDue
from notifications.gateway import FakeProvider
from notifications.models import Message, OrderNote


@pytest.fixture
def texts(settings):
    def read() -> list[str]:
        log = settings.VAR / "sms.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line)["text"] for line in lines]

    return read


def test_who_has_not_paid_is_reminded_some_minutes_before_the_end(calm, news, texts):
    news.signed_up()
    news.placed()
    news.reserved()
    calm.later(minutes=9)
    assert texts() == []

    calm.later(minutes=2)
    until = f"{news.expires_at:%H:%M}"
    assert texts() == [
        f"Kabar: your order over EUR 1,244.50 is reserved for you until {until} UTC."
        " Please pay by then, or the goods go back on the shelf."
    ]
    sms = Message.objects.get(kind="payment_reminder")
    assert (sms.to, sms.state, sms.subject) == ("+628111111111", "sent", "")


def test_the_reminder_speaks_the_customers_language(calm, news, texts):
    news.signed_up(language="id")
    news.placed()
    news.reserved()
    calm.later(minutes=11)

    assert f"sampai pukul {news.expires_at:%H.%M} UTC" in texts()[0]


@pytest.mark.parametrize("end", ["paid", "cancelled"])
@pytest.mark.parametrize("first", [True, False])
def test_who_paid_or_cancelled_is_left_in_peace(calm, news, texts, end, first):
    news.signed_up()
    news.placed()
    if first:
        getattr(news, end)()
    news.reserved()
    if not first:
        getattr(news, end)()
    calm.later(minutes=11)

    assert texts() == []
    assert len(calm.told("notifications.PaymentReminderDue")) == (0 if first else 1)


def test_a_late_placed_does_not_reopen_what_is_cancelled(calm, news, texts):
    news.signed_up()
    for word in ("cancelled", "paid", "reserved", "placed"):
        getattr(news, word)()
    calm.later(minutes=11)

    assert OrderNote.objects.get().state == "cancelled"
    assert texts() == []


def test_nobody_is_reminded_when_it_is_too_late(calm, news, texts):
    news.signed_up()
    news.placed()
    news.reserved()
    calm.later(minutes=16)

    assert texts() == []


@pytest.mark.parametrize("phone", [None, ""])
def test_without_a_number_there_is_no_reminder(calm, news, texts, phone):
    news.signed_up(phone=phone)
    news.placed()
    news.reserved()
    calm.later(minutes=11)

    assert not Message.objects.filter(kind="payment_reminder").exists()


def test_a_reminder_does_not_wait_for_an_unknown_customer(calm, news, texts):
    news.placed()
    news.reserved()
    calm.later(minutes=11)
    news.signed_up()
    calm.settle()

    assert texts() == []


def test_a_reminder_that_could_not_go_out_in_time_stays_in(calm, news, texts, monkeypatch):
    def away(self, message):
        raise ChannelAway(channel="sms", seconds=30, reason="test")

    news.signed_up()
    news.placed()
    news.reserved()
    with monkeypatch.context() as trouble:
        trouble.setattr(FakeProvider, "send", away)
        calm.later(minutes=11)
        assert Message.objects.get(kind="payment_reminder").state == "queued"
    news.paid()
    calm.later(minutes=1)

    sms = Message.objects.get(kind="payment_reminder")
    assert (texts(), sms.state, sms.reason) == ([], "muted", "nothing left to pay")
    calm.must_be_well()


def test_what_can_be_paid_is_decided_without_a_database(news):
    now = clock.now()
    soon = now + dt.timedelta(minutes=1)
    note = OrderNote(order_id=news.order, customer_id=news.customer, expires_at=soon)

    assert note.is_payable(now)
    assert not note.is_payable(soon)
    note.settle("cancelled")
    note.settle("paid")
    assert note.state == "cancelled"
    assert PaymentReminderDue(order_id=news.order).aggregate == f"order:{news.order}"
