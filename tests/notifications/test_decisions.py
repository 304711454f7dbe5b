"""What a message may become: decided without a database."""

import datetime as dt

import pytest

from eventbus import GiveUp
from infra.ids import new_id
from notifications.errors import CutOff, NotFailed, Undeliverable
from notifications.events import MessageWritten
from notifications.models import Channel, Contact, Message

NOW = dt.datetime(2026, 8, 17, tzinfo=dt.UTC)
SARI = {"customer_id": new_id(), "email": "sari@example.org", "name": "Sari", "language": "en"}


def message(state: str = "waiting", channel: str = "mail") -> Message:
    kind = {"mail": "welcome", "sms": "payment_reminder", "push": "order_paid_push"}[channel]
    return Message(kind=kind, about=new_id(), channel=channel, state=state, queued_at=NOW)


def test_an_addressed_message_can_go_out():
    letter = message()

    assert letter.address(Contact(**SARI), NOW) == MessageWritten(message_id=letter.id)
    assert (letter.state, letter.to) == ("queued", "sari@example.org")


@pytest.mark.parametrize(
    ("change", "channel", "reason"),
    [
        ({"wants_messages": False}, "mail", "wants no messages"),
        ({"mail": False}, "mail", "wants no mail"),
        ({"push": False}, "push", "wants no push"),
        ({}, "sms", "no address for sms"),
    ],
)
def test_a_message_nobody_wants_or_can_get_is_muted(change, channel, reason):
    letter = message(channel=channel)

    assert letter.address(Contact(**SARI | change), NOW) is None
    assert (letter.state, letter.reason, letter.body) == ("muted", reason, "")


def test_a_message_is_taken_up_once():
    letter = message("queued")

    assert letter.take_up(NOW)
    assert letter.state == "sending"
    with pytest.raises(CutOff):
        letter.take_up(NOW)


@pytest.mark.parametrize("channel", ["sms", "push"])
def test_what_has_a_key_may_be_repeated(channel):
    assert message("sending", channel).take_up(NOW)


@pytest.mark.parametrize("state", ["waiting", "sent", "muted"])
def test_what_is_done_or_not_ready_is_left_alone(state):
    letter = message(state)

    assert not letter.take_up(NOW)
    assert letter.state == state


def test_what_failed_stays_failed_until_an_operator_says_otherwise():
    letter = message("sending")
    letter.fail("first reason")
    letter.fail("second reason")

    with pytest.raises(GiveUp, match="first reason"):
        letter.take_up(NOW)
    assert letter.requeue(NOW) == MessageWritten(message_id=letter.id)
    assert letter.take_up(NOW)


def test_patience_ends_and_begins_anew_when_sent_again():
    late = NOW + dt.timedelta(days=5, seconds=1)
    letter = message("queued")

    with pytest.raises(Undeliverable, match="tried for 5 days"):
        letter.take_up(late)
    letter.fail("tried")
    letter.requeue(late)
    assert letter.take_up(late)


@pytest.mark.parametrize("state", [s for s in Message.State.values if s != "failed"])
def test_only_what_failed_is_sent_again(state):
    with pytest.raises(NotFailed, match=f"this one is {state}"):
        message(state).requeue(NOW)


def test_an_address_for_every_channel():
    sari = Contact(**SARI, phone="+62811")

    assert [sari.address(channel) for channel in Channel.values] == [
        "sari@example.org",
        "+62811",
        str(SARI["customer_id"]),
    ]
