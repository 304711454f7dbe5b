"""The payment reminder: in time, and only for orders that can still be paid."""

import datetime as dt
import json

import pytest

from infra import clock
from notifications.errors import ChannelUnavailable
from notifications.events import PaymentReminderDue
from notifications.gateway.providers import FakeProvider
from notifications.models import Message, OrderNote


@pytest.fixture
def sms(settings):
    def read() -> list[str]:
        log = settings.VAR / "sms.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line)["text"] for line in lines]

    return read


def test_the_reminder_is_sent_some_minutes_before_the_reservation_lapses(calm, upstream, sms):
    upstream.signed_up()
    upstream.placed()
    upstream.reserved()
    calm.later(minutes=9)
    assert sms() == []

    calm.later(minutes=2)
    until = f"{upstream.expires_at:%H:%M}"
    assert sms() == [
        f"Kabar: your order over EUR 1,244.50 is reserved for you until {until} UTC."
        " Please pay by then, or the goods go back on the shelf."
    ]
    message = Message.objects.get(kind="payment_reminder")
    assert (message.to, message.state, message.subject) == ("+628111111111", "sent", "")


def test_the_reminder_speaks_the_customers_language(calm, upstream, sms):
    upstream.signed_up(language="id")
    upstream.placed()
    upstream.reserved()
    calm.later(minutes=11)

    assert f"sampai pukul {upstream.expires_at:%H.%M} UTC" in sms()[0]


@pytest.mark.parametrize("end", ["paid", "cancelled"])
@pytest.mark.parametrize("first", [True, False])
def test_a_paid_or_cancelled_order_gets_no_reminder(calm, upstream, sms, end, first):
    upstream.signed_up()
    upstream.placed()
    if first:
        getattr(upstream, end)()
    upstream.reserved()
    if not first:
        getattr(upstream, end)()
    calm.later(minutes=11)

    assert sms() == []
    assert len(calm.payloads("notifications.PaymentReminderDue")) == (0 if first else 1)


def test_a_late_order_placed_does_not_reopen_a_cancelled_order(calm, upstream, sms):
    upstream.signed_up()
    for word in ("cancelled", "paid", "reserved", "placed"):
        getattr(upstream, word)()
    calm.later(minutes=11)

    assert OrderNote.objects.get().state == "cancelled"
    assert sms() == []


def test_after_the_reservation_lapsed_there_is_no_reminder(calm, upstream, sms):
    upstream.signed_up()
    upstream.placed()
    upstream.reserved()
    calm.later(minutes=16)

    assert sms() == []


@pytest.mark.parametrize("phone", [None, ""])
def test_without_a_number_there_is_no_reminder(calm, upstream, sms, phone):
    upstream.signed_up(phone=phone)
    upstream.placed()
    upstream.reserved()
    calm.later(minutes=11)

    assert not Message.objects.filter(kind="payment_reminder").exists()


def test_a_reminder_does_not_wait_for_an_unknown_customer(calm, upstream, sms):
    upstream.placed()
    upstream.reserved()
    calm.later(minutes=11)
    upstream.signed_up()
    calm.settle()

    assert sms() == []


def test_a_reminder_that_could_not_be_sent_in_time_is_muted(calm, upstream, sms, monkeypatch):
    def fail(self, message):
        raise ChannelUnavailable(channel="sms", seconds=30, reason="test")

    upstream.signed_up()
    upstream.placed()
    upstream.reserved()
    with monkeypatch.context() as patch:
        patch.setattr(FakeProvider, "send", fail)
        calm.later(minutes=11)
        assert Message.objects.get(kind="payment_reminder").state == "queued"
    upstream.paid()
    calm.later(minutes=1)

    message = Message.objects.get(kind="payment_reminder")
    assert (sms(), message.state, message.reason) == ([], "muted", "nothing left to pay")
    calm.assert_no_failures()


def test_whether_an_order_is_payable_is_decided_without_a_database(upstream):
    now = clock.now()
    soon = now + dt.timedelta(minutes=1)
    note = OrderNote(order_id=upstream.order, customer_id=upstream.customer, expires_at=soon)

    assert note.is_payable(now)
    assert not note.is_payable(soon)
    note.become("cancelled")
    note.become("paid")
    assert note.state == "cancelled"
    assert PaymentReminderDue(order_id=upstream.order).aggregate == f"order:{upstream.order}"
