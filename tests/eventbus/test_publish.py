"""Publishing: a change and its event are committed together, or neither is."""

import datetime as dt
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import transaction

from eventbus import NotInTransaction, acting_as, publish
from eventbus.errors import BadPayload
from eventbus.models import Event, Outbox, Scheduled
from orders.events import ProductListed, ProductRetired


def test_publishing_outside_a_transaction_is_refused(transactional_db):
    with pytest.raises(NotInTransaction, match=r"orders\.ProductRetired"):
        publish(ProductRetired(sku="teapot"))


def test_a_rolled_back_change_publishes_no_event(transactional_db):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        publish(ProductRetired(sku="teapot"))
        1 / 0

    assert not Event.objects.exists()
    assert not Outbox.objects.exists()


def test_an_event_is_logged_with_its_origin_and_waits_in_the_outbox(db):
    with acting_as("operator:7") as current:
        known = publish(ProductRetired(sku="teapot"))

    event = Event.objects.get()
    assert event.id == known == Outbox.objects.get().event_id
    assert event.name == "orders.ProductRetired"
    assert event.aggregate == "sku:teapot"
    assert event.payload == {"sku": "teapot"}
    assert (event.actor, event.correlation) == ("operator:7", current.correlation)
    assert event.causation is None
    assert event.recorded_at


def test_positions_rise(db):
    for _ in range(3):
        publish(ProductRetired(sku="teapot"))

    positions = list(Event.objects.values_list("position", flat=True))
    assert positions == sorted(set(positions))
    assert len(positions) == 3


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "a\0b"}, "NUL"),
        ({"unit_price": Decimal("NaN")}, "not a number"),
        ({"unit_price": Decimal("Infinity")}, "not a number"),
        ({"name": 7}, "Expected `str`, got `int`"),
        ({"name": "\ud800"}, "surrogate"),
        ({"description": "x" * 1_000_001}, "more than EVENTBUS.MAX_PAYLOAD_BYTES"),
    ],
)
def test_a_value_that_json_cannot_hold_is_refused_when_it_is_published(db, wrong, words):
    right = {
        "sku": "teapot",
        "name": "Teapot",
        "description": "",
        "unit_price": Decimal("10.00"),
        "currency": "EUR",
    }
    publish(ProductListed(**right))
    with pytest.raises(BadPayload, match=words):
        publish(ProductListed(**right | wrong))


def test_a_scheduled_event_is_not_in_the_log_until_it_is_due(calm):
    publish(ProductRetired(sku="teapot"), due=dt.timedelta(minutes=5))

    calm.settle()
    assert (Event.objects.count(), Scheduled.objects.count()) == (0, 1)

    calm.later(minutes=6)
    assert (Event.objects.count(), Scheduled.objects.count()) == (1, 0)


def test_an_answer_carries_the_id_of_its_question(db):
    question = uuid4()
    publish(ProductRetired(sku="teapot"), answering=question)
    assert Event.objects.get().causation == question
