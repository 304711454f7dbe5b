"""Behind slow or absent workers events wait with the relay, and are sent in full batches."""

import pytest
from django.db import transaction

from eventbus import publish
from eventbus.conf import conf
from eventbus.consuming.delivery import deliver
from eventbus.models import Dispatch, Inbox
from eventbus.relay import claim, scheduled
from eventbus.relay.claim import MOST_SENT
from eventbus.relay.transports import Message
from eventbus.testing import listening
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def listen(sku: str) -> None:
    """Handle an event."""


def sent_for(events: int) -> list[Message]:
    """Publish and claim events one by one, as a relay does that is faster than its workers."""
    sent = []
    for number in range(events):
        with transaction.atomic():
            publish(ProductRetired(sku=str(number)))
        sent += ours(claim.claim_batch(0).messages)
    return sent


def ours(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.consumer == "orders.listen"]


def drain(messages: list[Message]) -> list[int]:
    """Deliver messages, and those that follow; return their sizes."""
    sizes = []
    while messages:
        for message in messages:
            deliver(message.dispatch, message.consumer, message.events, message.suspect)
        sizes += [message.count for message in messages]
        messages = ours(scheduled.poll().resend())
    return sizes


def test_a_backlog_of_single_events_is_sent_in_full_batches() -> None:
    with listening(make_consumer(listen)):
        sizes = drain(sent_for(MOST_SENT + 120))

    assert (conf().BATCH_SIZE, sizes) == (50, [1] * MOST_SENT + [50, 50, 20])
    assert Inbox.objects.filter(consumer="orders.listen").count() == MOST_SENT + 120
    assert not Dispatch.objects.filter(consumer="orders.listen").exists()


def test_an_event_for_a_consumer_that_keeps_up_is_sent_at_once() -> None:
    with listening(make_consumer(listen)):
        for _ in range(MOST_SENT + 5):
            assert drain(sent_for(1)) == [1]


def test_while_nothing_is_handled_no_more_is_sent() -> None:
    with listening(make_consumer(listen)):
        sent = sent_for(MOST_SENT + 10)
        assert (len(sent), ours(scheduled.poll().resend())) == (MOST_SENT, [])
