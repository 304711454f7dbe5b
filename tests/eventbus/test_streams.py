"""Versions of an aggregate are 1, 2, 3 …; what is archived leaves no hole."""

import pytest

from eventbus.models import Archive, Event
from eventbus.operations import streams
from infra import clock
from infra.ids import new_id

pytestmark = pytest.mark.django_db


def record(*versions: int | None, first: int = 1) -> None:
    for position, version in enumerate(versions, first):
        Event.objects.create(
            name="orders.OrderPaid",
            aggregate="order:a",
            aggregate_version=version,
            payload={},
            correlation=new_id(),
            position=position,
        )


def archive(first: int, last: int) -> None:
    at = clock.now()
    Archive.objects.create(
        file=f"{first}",
        folder="",
        sha256="",
        events=1,
        inbox_rows=0,
        first_position=first,
        last_position=last,
        since=at,
        until=at,
    )


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ([1, 2, 3], []),
        ([2, 1, 3], []),  # positions may differ from versions: two connections, one sequence
        ([1, None, 2], []),
        ([1, 3], ["version 3 after 1"]),
        ([2], ["version 2 after 0"]),
        ([1, 2, 2], ["version 2 twice"]),
    ],
)
def test_a_hole_or_a_double_version_is_found(versions, found):
    record(*versions)
    assert streams.broken() == [f"orders about order:a: {text}" for text in found]
    assert streams.count() == 1


def test_streams_of_two_contexts_about_one_aggregate_are_two():
    record(1, 2)
    Event.objects.filter(aggregate_version=2).update(name="payments.X", aggregate_version=1)
    assert streams.broken() == []
    assert streams.count() == 2


def test_archived_events_leave_no_hole():
    archive(1, 4)
    record(3, 4, first=5)
    assert streams.broken() == []
    record(6, first=20)
    assert streams.broken() == ["orders about order:a: version 6 after 4"]


def test_a_needed_event_between_archived_ones_leaves_no_hole():
    record(1, first=1)
    archive(2, 3)
    record(4, first=4)
    assert streams.broken() == []
