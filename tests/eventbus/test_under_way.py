"""Events under way to a consumer or a context: published, owed and not handled."""

import pytest
from django.db import transaction

from eventbus import publish
from eventbus.models import DeadLetter, Dispatch, Event, Inbox, Outbox, Retry, Subscription
from eventbus.operations.under_way import aggregates_under_way, events_under_way
from infra import clock
from orders.events import ProductRetired

pytestmark = pytest.mark.django_db
CONSUMER = "orders.invalidate_product"


@pytest.fixture
def event() -> Event:
    with transaction.atomic():
        publish(ProductRetired(sku="a"))
    return Event.objects.get()


def move(state: str, event: Event) -> None:
    row = {"consumer": CONSUMER, "event_id": event.pk}
    if state != "outbox":
        Outbox.objects.all().delete()
    if state == "dispatched":
        Dispatch.objects.create(consumer=CONSUMER, event_ids=[str(event.pk)])
    elif state == "retrying":
        Retry.objects.create(error="", failed_at=clock.now(), **row)
    elif state == "dead":
        DeadLetter.objects.create(name=event.name, envelope={}, died_at=clock.now(), **row)


@pytest.mark.parametrize("state", ["outbox", "dispatched", "retrying", "dead"])
def test_an_event_is_under_way_to_its_consumer_and_to_its_context_only(event, state):
    move(state, event)
    for names in ((CONSUMER,), ("orders",), ("payments", "orders")):
        assert list(events_under_way(*names)) == [event]
        assert aggregates_under_way(*names) == {"sku:a"}
    for name in ("payments", "orders.pay_order", "order"):
        assert not events_under_way(name).exists()


def test_what_is_handled_or_in_no_table_is_not_under_way(event):
    move("dispatched", event)
    Inbox.objects.create(consumer=CONSUMER, event_id=event.pk, handled_at=clock.now())
    assert not events_under_way("orders").exists()  # the rest of its message is

    Subscription.objects.filter(consumer=CONSUMER).update(generation=1)
    assert events_under_way("orders").exists()  # since a rebuild it has to be handled anew

    move("lost", event)
    Dispatch.objects.all().delete()
    assert not events_under_way("orders").exists()
