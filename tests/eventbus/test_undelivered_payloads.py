"""Before a deployment: undelivered events that the new code cannot read are named."""

import datetime as dt
from collections.abc import Iterator

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import transaction

from eventbus import publish, registry
from eventbus.consuming.delivery import deliver
from eventbus.models import Correction, Dispatch, Event, Outbox, Retry
from eventbus.testing import Bus, alone, listening
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer


def listen(sku: str) -> None:
    raise ValueError("not yet")


def make_newer():
    def listen(sku: str, reason: str) -> None:
        """Newer code, with a field that events of older code do not have."""

    return make_consumer(listen)


@pytest.fixture
def older(calm: Bus) -> Iterator[Bus]:
    with alone("nobody"), listening(make_consumer(listen)):
        yield calm


def retire(**options: object) -> None:
    with transaction.atomic():
        publish(ProductRetired(sku="a"), **options)


def warnings() -> list[str]:
    found = run_checks(tags=["database"], databases=["default"])
    return [str(message.msg) for message in found if message.id.startswith("eventbus.")]


EXPECTED = (
    "orders.listen cannot read 1 undelivered orders.ProductRetired:"
    " Object missing required field `reason`."
)


def put_in(place: str, bus: Bus) -> None:
    retire(due=dt.timedelta(days=1) if place == "scheduled" else None)
    if place in ("dispatch", "retry"):
        bus._relay.run_once()
    if place == "retry":
        for message in bus._transport.messages:
            deliver(message.dispatch, message.consumer, message.events)
        assert Retry.objects.exists()
        assert not Dispatch.objects.exists()
    assert Outbox.objects.exists() == (place == "outbox")


@pytest.mark.parametrize("place", ["scheduled", "outbox", "dispatch", "retry"])
def test_undelivered_events_that_the_code_cannot_read_are_named(older, place):
    put_in(place, older)
    assert warnings() == []
    registry.consumers["orders.listen"] = make_newer()
    assert warnings() == [EXPECTED]


def test_a_corrected_payload_is_read_as_the_consumer_receives_it(older):
    put_in("retry", older)
    event = Event.objects.get()
    registry.consumers["orders.listen"] = make_newer()
    Correction.objects.create(
        consumer="orders.listen",
        event_id=event.pk,
        payload={"sku": "a", "reason": "old"},
        original=event.payload,
        actor="operator:1",
    )
    assert warnings() == []


def test_a_consumer_of_another_process_is_not_examined(older):
    put_in("dispatch", older)
    del registry.consumers["orders.listen"]
    assert warnings() == []


def test_the_check_command_prints_them(older, capsys):
    put_in("retry", older)
    registry.consumers["orders.listen"] = make_newer()
    call_command("check", databases=["default"], tags=["database"])
    assert EXPECTED in capsys.readouterr().err
