"""A message, and what the relay takes at a time, are limited in bytes, however they came to be."""

import random
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.db import transaction

from eventbus import publish
from eventbus.consuming.delivery import deliver
from eventbus.models import Dispatch, Event, Inbox, Outbox
from eventbus.relay import claim, scheduled
from eventbus.relay.relay import Relay
from eventbus.relay.transports import Message
from eventbus.testing import InMemoryTransport, alone, listening
from orders.events import ProductListed
from tests.eventbus.consumers import make_consumer

pytestmark = pytest.mark.django_db(transaction=True)

KILOBYTE = random.Random(0).randbytes(500).hex()


def listen(sku: str, description: str) -> None:
    """Handle an event."""


@pytest.fixture(autouse=True)
def _listener(settings) -> Iterator[None]:
    settings.EVENTBUS = {
        **settings.EVENTBUS,
        "MAX_MESSAGE_BYTES": 3000,
        "MAX_CLAIM_BYTES": 10_000,
    }
    with alone("nobody"), listening(make_consumer(listen, "orders.ProductListed")):
        yield


def retire(events: int, text: str = KILOBYTE) -> None:
    with transaction.atomic():
        for number in range(events):
            publish(
                ProductListed(
                    sku=f"{number:03}",
                    name="",
                    description=text,
                    unit_price=Decimal(1),
                    currency="EUR",
                )
            )


def numbers(messages: list[Message]) -> list[int]:
    return [int(event["data"]["sku"]) for message in messages for event in message.events]


def test_a_claim_fills_messages_and_ends_at_its_limit():
    retire(30)
    first = claim.claim_batch(0)
    assert first.exhausted is False
    found = numbers(first.messages)
    assert found == list(range(len(found)))
    assert {message.count for message in first.messages[:-1]} <= {2, 3}
    assert 8 <= len(found) <= 11, "about ten of a kilobyte each"
    assert Outbox.objects.count() == 30 - len(found)


def test_an_event_above_the_limits_is_sent_alone():
    retire(3, random.Random(0).randbytes(20_000).hex())
    sent = []
    for last in (False, False, True):
        found = claim.claim_batch(0)
        assert found.exhausted is last
        sent += numbers(found.messages)
    assert sent == [0, 1, 2]


def test_a_claim_below_the_limits_takes_everything():
    retire(50, "")
    found = claim.claim_batch(0)
    assert (found.exhausted, Outbox.objects.count()) == (True, 0)
    assert numbers(found.messages) == list(range(50))


def test_a_dispatch_that_is_too_large_is_split_and_each_event_handled_once():
    retire(30)
    Outbox.objects.all().delete()
    ids = [str(pk) for pk in Event.objects.order_by("position").values_list("pk", flat=True)]
    Dispatch.objects.create(consumer="orders.listen", event_ids=ids[:20], replayed=True)
    Dispatch.objects.create(consumer="orders.listen", event_ids=ids[20:])

    first = scheduled.poll().resend()
    assert numbers(first) == list(range(20)), "the second is above the limit of a claim"
    second = scheduled.poll().resend()
    assert numbers(second) == list(range(20, 30))
    assert scheduled.poll().resend() == []

    assert all(len(m.text) < 3000 + 2000 for m in [*first, *second])
    for message in [*first, *second]:
        deliver(message.dispatch, message.consumer, message.events, message.suspect)
    assert Inbox.objects.filter(consumer="orders.listen").count() == 30
    assert not Dispatch.objects.exists()


def test_waiting_events_are_merged_into_messages_of_a_limited_size():
    retire(12)
    Outbox.objects.all().delete()
    for pk in Event.objects.order_by("position").values_list("pk", flat=True):
        Dispatch.objects.create(consumer="orders.listen", event_ids=[str(pk)])
    transport = InMemoryTransport()
    while Relay(transport).run_once():
        continue
    assert numbers(transport.messages) == list(range(12))
    assert [message.count for message in transport.messages] == [3, 3, 3, 3]
