"""Causation trees, also long and incomplete ones, and the delivery status of events."""

from dataclasses import replace
from uuid import UUID

import pytest

from eventbus.consuming import retries
from eventbus.models import Dispatch, Event, Inbox
from eventbus.operations import dead_letters
from eventbus.operations.causation import (
    MAX_EVENTS,
    as_tree,
    causation_tree,
    causes_and_effects,
    deliveries,
)
from eventbus.operations.dead_letter_filter import DeadLetterFilter
from infra.ids import new_id
from tests.pages.conftest import ORDER

pytestmark = pytest.mark.django_db


def chain(length: int) -> list[Event]:
    """Return events of which each is the cause of the next, not stored."""
    request, ids = new_id(), [new_id() for _ in range(length)]
    return [
        Event(
            id=id,
            position=at,
            name="a.B",
            payload={},
            correlation=request,
            causation=ids[at - 1] if at else None,
        )
        for at, id in enumerate(ids)
    ]


def test_a_tree_puts_effects_below_their_cause(news):
    found = [(depth, event.pk) for depth, event in causation_tree(aggregate=f"order:{ORDER}")]
    assert found == [
        (0, news["placed"].pk),
        (1, news["held"].pk),
        (0, news["captured"].pk),
        (1, news["paid"].pk),
        (0, news["cancelled"].pk),
    ]


def test_a_long_chain_is_complete():
    events = chain(5000)
    assert [depth for depth, _ in as_tree(reversed(events))] == list(range(5000))


def test_an_effect_without_its_cause_has_depth_0():
    assert [depth for depth, _ in as_tree(chain(5)[2:])] == [0, 1, 2]


def test_a_tree_has_at_most_500_events():
    events = chain(MAX_EVENTS + 5)
    Event.objects.bulk_create(events)
    assert len(causation_tree(correlation=events[0].correlation)) == MAX_EVENTS


def test_an_event_beyond_the_limit_has_its_causes_and_effects(news):
    found = [event.pk for _, event in causes_and_effects([news["paid"]])]
    assert found == [news["captured"].pk, news["paid"].pk]


def test_an_unknown_aggregate_has_no_events(db):
    assert causation_tree(correlation=UUID(int=1)) == []
    assert causation_tree(aggregate="order:none") == []


def test_a_discarded_event_has_the_status_discarded(news):
    event = news["paid"]
    retries.dead_letter("analytics.count_sale", event.envelope(), ValueError(), 1)
    # given: also an interrupted external call
    Inbox.objects.create(consumer="analytics.count_sale", event_id=event.pk)
    dead_letters.discard(DeadLetterFilter(), "not needed", "operator:1")
    states = {delivery.consumer: delivery.status for delivery in deliveries(event)}
    assert states["analytics.count_sale"] == "discarded"


def test_a_replayed_event_is_marked_as_replayed(news):
    event = news["paid"]
    dispatch = Dispatch(consumer="analytics.count_sale", event_ids=[str(event.pk)], replayed=True)
    dispatch.save()
    retries.dead_letter(
        "notifications.send", replace(event.envelope(), replayed=True), ValueError(), 1
    )
    other = Dispatch(consumer="analytics.other", event_ids=[str(news["placed"].pk)], replayed=True)
    other.save()
    found = {delivery.consumer: delivery for delivery in deliveries(event)}
    assert found["analytics.count_sale"].status == "in flight"
    assert {name for name, delivery in found.items() if delivery.replayed} == {
        "analytics.count_sale",
        "notifications.send",
    }
