"""Sending messages by their channels: outside of transactions."""

import datetime as dt
from collections.abc import Callable
from functools import partial
from uuid import UUID

from eventbus import Event, GiveUp, TryLater, origin, publish
from infra import clock
from infra.transactions import atomic
from notifications import gateway
from notifications.models import Channel, Message, OrderNote


def send(message_id: UUID) -> Callable[[], None] | None:
    """Send a message, and return the function that records it. Raises TryLater, GiveUp."""
    try:
        # Committed before sending: a delivery that finds the state `sending` knows of this one.
        message = _start(message_id)
        if message is None:
            return None
        reference = gateway.channel(message.channel).send(_outgoing(message))
    except TryLater:
        _change(message_id, Message.return_to_queue)
        raise
    except GiveUp as error:
        _change(message_id, partial(Message.fail, reason=str(error)))
        raise
    return partial(_change, message_id, partial(Message.mark_sent, reference=reference))


def send_again(message_id: UUID) -> None:
    """Queue a failed message again. Raises NotFailed."""
    _change(message_id, partial(Message.send_again, now=clock.now()))


@atomic
def _start(message_id: UUID) -> Message | None:
    message = Message.objects.select_for_update().get(pk=message_id)
    now = clock.now()
    if _is_obsolete(message, now):
        message.mute("nothing left to pay")
    started = message.start_sending(now)
    message.save()
    return message if started else None


def _is_obsolete(message: Message, now: dt.datetime) -> bool:
    if message.kind != Message.Kind.PAYMENT_REMINDER or message.state != Message.State.QUEUED:
        return False
    return not OrderNote.objects.get(pk=message.about).is_payable(now)


@atomic
def _change(message_id: UUID, change: Callable[[Message], Event | None]) -> None:
    message = Message.objects.select_for_update().get(pk=message_id)
    event = change(message)
    message.save()
    if event:
        publish(event)


def _outgoing(message: Message) -> gateway.Outgoing:
    # An SMS or push message that an operator sends again needs a new key. For an e-mail the key
    # is only its Message-ID.
    key = str(message.id) if message.channel == Channel.MAIL else origin().key(message.channel)
    return gateway.Outgoing(key=key, to=message.to, subject=message.subject, text=message.body)
