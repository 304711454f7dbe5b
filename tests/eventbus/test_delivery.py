"""Delivering: each effect once, each failure stored, nobody else harmed."""

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from eventbus import Envelope, GiveUp, TryLater, publish
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.models import DeadLetter, Dispatch, Event, Inbox, Outbox, Retry, Subscription
from eventbus.registry import Consumer
from eventbus.testing import Bus, listening
from infra import clock
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer


@pytest.fixture
def heard() -> list[str]:
    return []


def test_an_event_reaches_its_consumer_and_leaves_nothing_behind(bus, heard):
    def listen(sku: str) -> None:
        heard.append(sku)

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        bus.settle()

    assert heard == ["teapot"]
    assert not Outbox.objects.exists()
    assert not Dispatch.objects.exists()
    assert Inbox.objects.filter(consumer="orders.listen", handled_at__isnull=False).count() == 1


@pytest.mark.parametrize("external", [False, True])
def test_what_was_handled_already_is_said_to_be_heard_again(
    bus, heard, external, django_capture_on_commit_callbacks
):
    def listen(sku: str) -> None:
        heard.append(sku)

    with listening(make_consumer(listen, external=external)), capture_logs() as logs:
        publish(ProductRetired(sku="teapot"))
        bus.settle()
        event = to_cloudevent(Event.objects.get().envelope())
        assert not any(line["event"] == "duplicate delivery" for line in logs)
        with django_capture_on_commit_callbacks(execute=True):
            deliver(0, "orders.listen", [event])

    again = {
        "consumer": "orders.listen",
        "events": 1,
        "event": "duplicate delivery",
        "log_level": "info",
    }
    assert again in logs
    assert heard == ["teapot"]


def test_one_bad_event_does_not_harm_its_neighbours(bus, heard, settings):
    settings.EVENTBUS = {**settings.EVENTBUS, "RETRY_DELAY": 3600}  # no retry comes in between

    def listen(sku: str) -> None:
        if sku == "bad":
            raise ValueError("spoiled")
        heard.append(sku)

    with listening(make_consumer(listen)):
        for sku in ("a", "bad", "b"):
            publish(ProductRetired(sku=sku))
        bus.settle(allow_failures=True)

    # In calm weather the batch is rolled back and redone, so a list hears some twice; rows do not.
    assert {"a", "b"} == set(heard)
    assert Retry.objects.get().attempts == (2 if bus.weather == "echo" else 1)
    assert "spoiled" in Retry.objects.get().error
    assert Inbox.objects.filter(consumer="orders.listen").count() == 2


def test_a_failure_is_tried_again_and_its_row_goes(calm, heard):
    def listen(sku: str) -> None:
        heard.append(sku)
        if len(heard) == 1:
            raise ValueError("once")

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        calm.settle(allow_failures=True)
        assert Retry.objects.count() == 1
        calm.later(seconds=10)

    assert heard == ["teapot", "teapot"]
    assert not Retry.objects.exists()
    assert not DeadLetter.objects.exists()


def test_a_failure_without_end_becomes_a_dead_letter(calm):
    def listen(sku: str) -> None:
        raise ValueError(f"never {sku}")

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        for _ in range(20):
            calm.later(minutes=10)

    letter = DeadLetter.objects.get()
    assert letter.attempts == 15
    assert letter.signature == "orders.listen ValueError in listen"
    assert letter.envelope["data"] == {"sku": "teapot"}
    assert not Retry.objects.exists()


def test_what_cannot_get_better_is_given_up_at_once(bus):
    def listen(sku: str) -> None:
        raise GiveUp(reason="no such thing")

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        bus.settle(allow_failures=True)

    assert DeadLetter.objects.get().attempts == 1


def test_try_later_counts_no_attempt(calm):
    def listen(sku: str) -> None:
        raise TryLater(seconds=30, reason="closed")

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        for _ in range(30):
            calm.later(minutes=1)

    assert Retry.objects.get().attempts == 0


def test_an_unknown_consumer_is_a_failure_that_says_so(calm):
    Subscription.objects.create(
        consumer="orders.gone", event="orders.ProductRetired", since="2000-01-01T00:00Z"
    )
    publish(ProductRetired(sku="teapot"))
    calm.settle(allow_failures=True)

    assert "No consumer is called orders.gone here" in Retry.objects.get().error


class TestOutside:
    def test_the_record_is_made_once_however_often_it_is_delivered(self, bus):
        calls: list[str] = []

        def call(sku: str) -> Callable[[], object]:
            calls.append(sku)
            return lambda: publish(ProductRetired(sku="recorded"))

        with listening(make_consumer(call, external=True)):
            publish(ProductRetired(sku="first"))
            bus.settle(until=lambda: "recorded" in calls)

        assert calls.count("first") == 1

    def test_a_call_under_way_is_not_made_twice(self, calm):
        calls: list[str] = []

        def call(sku: str) -> None:
            calls.append(sku)
            if len(calls) == 1:
                again()

        with listening(make_consumer(call, external=True)):
            id = publish(ProductRetired(sku="teapot"))
            wire = [to_cloudevent(Event.objects.get(pk=id).envelope())]

            def again() -> None:
                deliver(0, "orders.call", wire)

            calm.settle(allow_failures=True)

        assert calls == ["teapot"]

    def test_a_call_that_outlived_its_lease_does_not_undo_another(self, calm):
        recorded: list[str] = []
        calls: list[str] = []

        def call(sku: str) -> Callable[[], object]:
            calls.append(sku)
            if len(calls) == 1:  # the first is so slow that a second begins, and then it fails
                clock.offset += dt.timedelta(minutes=2)
                deliver(0, "orders.call", wire)
                raise ConnectionError("too late")
            return lambda: recorded.append(sku)

        with listening(make_consumer(call, external=True)):
            id = publish(ProductRetired(sku="teapot"))
            wire = [to_cloudevent(Event.objects.get(pk=id).envelope())]
            calm.settle(allow_failures=True)

        assert (len(calls), recorded) == (2, ["teapot"])
        assert Inbox.objects.get(consumer="orders.call").handled_at

    @pytest.mark.parametrize(("idempotent", "calls_made"), [(True, 1), (False, 0)])
    def test_a_call_cut_off_is_repeated_only_where_that_is_declared(
        self, calm, idempotent, calls_made
    ):
        calls: list[str] = []

        def call(sku: str) -> None:
            calls.append(sku)

        with listening(make_consumer(call, external=True, idempotent=idempotent)):
            id = publish(ProductRetired(sku="teapot"))
            Inbox.objects.create(
                consumer="orders.call", event_id=id, lease_until="2000-01-01T00:00Z"
            )
            calm.settle(allow_failures=True)

        assert len(calls) == calls_made
        assert DeadLetter.objects.count() == 1 - calls_made


def test_an_envelope_is_given_to_who_asks_for_it(calm):
    seen: list[UUID] = []

    def listen(envelope: Envelope) -> None:
        seen.append(envelope.id)

    with listening(make_consumer(listen)):
        known = publish(ProductRetired(sku="teapot"))
        calm.settle()

    assert seen == [known]


def test_a_new_consumer_is_not_sent_history(calm: Bus, heard: list[str]):
    publish(ProductRetired(sku="old"))
    calm.settle()

    def listen(sku: str) -> None:
        heard.append(sku)

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="new"))
        calm.settle()

    assert heard == ["new"]


@pytest.mark.parametrize("key", [None, "sku", lambda sku: [sku, "all"]])
def test_an_event_is_decoded_once_for_its_keys_and_its_handler(calm, heard, monkeypatch, key):
    def listen(sku: str) -> None:
        heard.append(sku)

    decoded, decode = [], Consumer.arguments

    def counted(consumer: Consumer, envelope: Envelope) -> dict[str, Any]:
        if consumer.name == "orders.listen":
            decoded.append(envelope.payload["sku"])
        return decode(consumer, envelope)

    monkeypatch.setattr(Consumer, "arguments", counted)
    with listening(make_consumer(listen, key=key)):
        for sku in ("a", "b"):
            publish(ProductRetired(sku=sku))
        calm.settle()

    assert heard == ["a", "b"]
    assert decoded == ["a", "b"]
