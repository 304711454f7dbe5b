"""How fresh a context is: as fresh as the oldest news that has not reached it."""

import pytest
from django.db import transaction

from eventbus import publish
from eventbus.models import DeadLetter, Dispatch, Event, Outbox, Retry
from eventbus.operations.freshness import handled_until
from infra import clock
from orders.events import ProductRetired

pytestmark = pytest.mark.django_db


@pytest.fixture
def news() -> Event:
    with transaction.atomic():
        publish(ProductRetired(sku="a"))
    return Event.objects.get()


def wait_in(table, event, consumer):
    Outbox.objects.all().delete()
    whose = {"consumer": consumer}
    if table is Dispatch:
        Dispatch.objects.create(event_ids=[str(event.pk)], **whose)
    elif table is Retry:
        Retry.objects.create(event_id=event.pk, error="", failed_at=clock.now(), **whose)
    elif table is DeadLetter:
        more = {"name": event.name, "envelope": {}, "died_at": clock.now()}
        DeadLetter.objects.create(event_id=event.pk, **more, **whose)
    else:
        Outbox.objects.create(event_id=event.pk)


@pytest.mark.parametrize("table", [Outbox, Dispatch, Retry, DeadLetter])
def test_news_that_waits_anywhere_says_how_fresh_a_context_is(news, table):
    wait_in(table, news, "orders.hear")
    assert handled_until("orders") == news.recorded_at


@pytest.mark.parametrize("table", [Dispatch, Retry, DeadLetter])
def test_what_others_wait_for_does_not_matter(news, table):
    before = clock.now()
    wait_in(table, news, "payments.hear")
    assert handled_until("orders") >= before
