"""State changes of a message, without a database."""

import datetime as dt

import pytest

from eventbus import GiveUp
from infra.ids import new_id
from notifications.errors import Interrupted, NotFailed, Undeliverable
from notifications.events import MessageWritten
from notifications.models import Channel, Contact, Message

NOW = dt.datetime(2026, 8, 17, tzinfo=dt.UTC)
SARI = {"customer_id": new_id(), "email": "sari@example.org", "name": "Sari", "language": "en"}


def new_message(state: str = "waiting", channel: str = "mail") -> Message:
    kind = {"mail": "welcome", "sms": "payment_reminder", "push": "order_paid_push"}[channel]
    return Message(kind=kind, about=new_id(), channel=channel, state=state, queued_at=NOW)


def test_an_addressed_message_can_go_out():
    message = new_message()

    assert message.compose(Contact(**SARI), NOW) == MessageWritten(message_id=message.id)
    assert (message.state, message.to) == ("queued", "sari@example.org")


@pytest.mark.parametrize(
    ("change", "channel", "reason"),
    [
        ({"wants_messages": False}, "mail", "wants no messages"),
        ({"mail": False}, "mail", "wants no mail"),
        ({"push": False}, "push", "wants no push"),
        ({}, "sms", "no address for sms"),
    ],
)
def test_a_message_that_is_not_wanted_or_has_no_address_is_muted(change, channel, reason):
    message = new_message(channel=channel)

    assert message.compose(Contact(**SARI | change), NOW) is None
    assert (message.state, message.reason, message.body) == ("muted", reason, "")


def test_an_email_is_started_once():
    message = new_message("queued")

    assert message.start_sending(NOW)
    assert message.state == "sending"
    with pytest.raises(Interrupted):
        message.start_sending(NOW)


@pytest.mark.parametrize("channel", ["sms", "push"])
def test_sms_and_push_messages_may_be_repeated(channel):
    assert new_message("sending", channel).start_sending(NOW)


@pytest.mark.parametrize("state", ["waiting", "sent", "muted"])
def test_a_message_that_is_not_queued_is_not_sent(state):
    message = new_message(state)

    assert not message.start_sending(NOW)
    assert message.state == state


def test_a_failed_message_stays_failed_until_it_is_sent_again():
    message = new_message("sending")
    message.fail("first reason")
    message.fail("second reason")

    with pytest.raises(GiveUp, match="first reason"):
        message.start_sending(NOW)
    assert message.send_again(NOW) == MessageWritten(message_id=message.id)
    assert message.start_sending(NOW)


def test_attempts_end_after_five_days_and_begin_anew_when_sent_again():
    late = NOW + dt.timedelta(days=5, seconds=1)
    message = new_message("queued")

    with pytest.raises(Undeliverable, match="tried for 5 days"):
        message.start_sending(late)
    message.fail("tried")
    message.send_again(late)
    assert message.start_sending(late)


@pytest.mark.parametrize("state", [s for s in Message.State.values if s != "failed"])
def test_only_a_failed_message_is_sent_again(state):
    with pytest.raises(NotFailed, match=f"this one is {state}"):
        new_message(state).send_again(NOW)


def test_an_address_for_every_channel():
    sari = Contact(**SARI, phone="+62811")

    assert [sari.address_for(channel) for channel in Channel.values] == [
        "sari@example.org",
        "+62811",
        str(SARI["customer_id"]),
    ]
