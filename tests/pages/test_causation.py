"""Stories: events under their causes, however long, and whatever is missing."""

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


def test_a_story_puts_effects_under_their_cause(news):
    told = [(depth, event.pk) for depth, event in causation_tree(aggregate=f"order:{ORDER}")]
    assert told == [
        (0, news["placed"].pk),
        (1, news["held"].pk),
        (0, news["captured"].pk),
        (1, news["paid"].pk),
        (0, news["cancelled"].pk),
    ]


def test_a_long_chain_is_told_to_its_end():
    events = chain(5000)
    assert [depth for depth, _ in as_tree(reversed(events))] == list(range(5000))


def test_an_effect_without_its_cause_begins_a_story():
    assert [depth for depth, _ in as_tree(chain(5)[2:])] == [0, 1, 2]


def test_a_story_does_not_grow_without_end():
    events = chain(MAX_EVENTS + 5)
    Event.objects.bulk_create(events)
    assert len(causation_tree(correlation=events[0].correlation)) == MAX_EVENTS


def test_an_event_late_in_a_long_story_is_told_with_its_own_kin(news):
    told = [event.pk for _, event in causes_and_effects([news["paid"]])]
    assert told == [news["captured"].pk, news["paid"].pk]


def test_nobody_knows_what_never_happened(db):
    assert causation_tree(correlation=UUID(int=1)) == []
    assert causation_tree(aggregate="order:none") == []


def test_it_says_what_was_given_up(news):
    event = news["paid"]
    retries.dead_letter("analytics.count_sale", event.envelope(), ValueError(), 1)
    # given: a call that was cut off, too
    Inbox.objects.create(consumer="analytics.count_sale", event_id=event.pk)
    dead_letters.discard(DeadLetterFilter(), "nobody wants it", "operator:1")
    states = {delivery.consumer: delivery.status for delivery in deliveries(event)}
    assert states["analytics.count_sale"] == "discarded"


def test_it_says_who_is_told_by_a_replay(news):
    event = news["paid"]
    told = Dispatch(consumer="analytics.count_sale", event_ids=[str(event.pk)], replayed=True)
    told.save()
    retries.dead_letter(
        "notifications.send", replace(event.envelope(), replayed=True), ValueError(), 1
    )
    other = Dispatch(consumer="analytics.other", event_ids=[str(news["placed"].pk)], replayed=True)
    other.save()
    heard = {delivery.consumer: delivery for delivery in deliveries(event)}
    assert heard["analytics.count_sale"].status == "in flight"
    assert {who for who, delivery in heard.items() if delivery.replayed} == {
        "analytics.count_sale",
        "notifications.send",
    }
