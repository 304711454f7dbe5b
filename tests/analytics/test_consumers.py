"""Analytics alone: it knows nobody, says nothing, and takes few statements a piece of news."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.models import OrderFact, SaleLine
from eventbus import Envelope, clock, registry
from eventbus.ids import new_id
from eventbus.models import Inbox
from eventbus.testing import said
from eventbus.wire import payload_of
from tests.analytics.news import TEAPOT, fortnight, paid, placed

pytestmark = pytest.mark.django_db


def test_analytics_says_nothing(tell):
    # when
    tell(fortnight())

    # then
    assert [name for name in registry.events if name.startswith("analytics.")] == []
    assert len(said()) == len(fortnight())


def test_a_sale_told_in_two_events_is_one_sale(tell):
    # given
    sale = paid(placed(1, TEAPOT), after=60)

    # when
    tell([sale, sale])

    # then
    assert Inbox.objects.filter(consumer="analytics.count_sale").count() == 2
    assert SaleLine.objects.count() == 1
    assert OrderFact.objects.get().paid_at == sale.paid_at


@pytest.mark.parametrize("fact", fortnight(), ids=lambda fact: type(fact).name)
def test_no_news_takes_more_than_three_statements(fact):
    envelope = Envelope(
        id=new_id(),
        name=type(fact).name,
        payload=payload_of(fact),
        recorded_at=clock.now(),
        correlation=new_id(),
    )
    heard = [c for c in registry.listeners(type(fact).name) if c.context == "analytics"]
    assert heard
    for consumer in heard:
        with CaptureQueriesContext(connection) as asked:
            consumer.handle(**consumer.arguments(envelope))
        assert 1 <= len(asked) <= 3, [query["sql"] for query in asked]
