"""Analytics alone: it publishes nothing, and a batch takes few statements."""

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.models import OrderFact, SaleLine
from eventbus import Envelope, Event, registry
from eventbus.events import event_types
from eventbus.models import Inbox
from eventbus.publishing.serialization import payload_of
from eventbus.testing import said
from infra import clock
from infra.ids import new_id
from tests.analytics.sample_events import TEAPOT, fortnight, paid, placed, reserved

pytestmark = pytest.mark.django_db


def test_analytics_publishes_nothing(deliver):
    # when
    deliver(fortnight())

    # then
    assert [name for name in event_types if name.startswith("analytics.")] == []
    assert len(said()) == len(fortnight())


def test_two_events_of_one_sale_count_once(deliver):
    # given
    sale = paid(placed(1, TEAPOT), after=60)

    # when
    deliver([sale, sale])

    # then
    assert Inbox.objects.filter(consumer="analytics.count_sale").count() == 2
    assert SaleLine.objects.count() == 1
    assert OrderFact.objects.get().paid_at == sale.paid_at


def test_of_several_reservations_the_earliest_counts(deliver):
    # given
    at = [clock.now() + dt.timedelta(hours=hours) for hours in (2, 1, 3)]
    first, second, third = (envelope(reserved(1), moment) for moment in at)
    count = registry.consumers["analytics.count_reservation"]

    # when
    for message in ([third], [first, second], [third]):
        count.handle([count.item(count.arguments(envelope)) for envelope in message])

    # then
    assert OrderFact.objects.get().reserved_at == second.recorded_at


@pytest.mark.parametrize("name", sorted({type(fact).name for fact in fortnight()}))
def test_a_batch_takes_at_most_two_statements(name):
    envelopes = [envelope(fact) for fact in fortnight() * 2 if type(fact).name == name]
    consumers = [c for c in registry.consumers_of(name) if c.context == "analytics"]
    assert consumers
    assert len(envelopes) > 1
    for consumer in consumers:
        with CaptureQueriesContext(connection) as captured:
            consumer.handle([consumer.item(consumer.arguments(one)) for one in envelopes])
        assert 1 <= len(captured) <= 2, [query["sql"] for query in captured]


def envelope(fact: Event, recorded_at: dt.datetime | None = None) -> Envelope:
    return Envelope(
        id=new_id(),
        name=type(fact).name,
        payload=payload_of(fact),
        recorded_at=recorded_at or clock.now(),
        correlation=new_id(),
    )
