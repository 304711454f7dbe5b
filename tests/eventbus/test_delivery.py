"""Delivery: each effect once, each failure recorded, no other event harmed."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from structlog.testing import capture_logs

from eventbus import Envelope, GiveUp, TryLater, publish, registry
from eventbus import consumer as subscribe
from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.consuming.delivery import deliver
from eventbus.errors import BadConsumer
from eventbus.models import (
    Action,
    DeadLetter,
    Dispatch,
    Event,
    Inbox,
    Outbox,
    Retry,
    Subscription,
)
from eventbus.registry import Consumer
from eventbus.relay import subscriptions
from eventbus.testing import Bus, alone, listening
from infra import clock
from infra.ids import new_id
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

LISTED = ("consumer", "event", "since", "until")


@contextmanager
def listening_beside_others(consumer: Consumer) -> Iterator[None]:
    """Add a consumer, and leave the subscriptions of other code alone."""
    registry.consumers[consumer.name] = consumer
    try:
        yield
    finally:
        del registry.consumers[consumer.name]


@pytest.fixture
def received() -> list[str]:
    return []


def test_an_event_reaches_its_consumer_and_leaves_nothing_behind(bus, received):
    def listen(sku: str) -> None:
        received.append(sku)

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        bus.settle()

    assert received == ["teapot"]
    assert not Outbox.objects.exists()
    assert not Dispatch.objects.exists()
    assert Inbox.objects.filter(consumer="orders.listen", handled_at__isnull=False).count() == 1


@pytest.mark.parametrize("suspect", [False, True])
def test_an_event_that_is_twice_in_a_message_is_handled_once(calm, received, suspect):
    def listen(sku: str) -> None:
        received.append(sku)

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        event = to_cloudevent(Event.objects.get().envelope())
        deliver(0, "orders.listen", [event, event], suspect)

    assert received == ["teapot"]


@pytest.mark.parametrize("external", [False, True])
def test_a_duplicate_delivery_is_ignored_and_logged(
    bus, received, external, django_capture_on_commit_callbacks
):
    def listen(sku: str) -> None:
        received.append(sku)

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
    assert received == ["teapot"]


def test_one_bad_event_does_not_harm_its_neighbours(bus, received, settings):
    settings.EVENTBUS = {**settings.EVENTBUS, "RETRY_DELAY": 3600}  # no retry comes in between

    def listen(sku: str) -> None:
        if sku == "bad":
            raise ValueError("spoiled")
        received.append(sku)

    with listening(make_consumer(listen)):
        for sku in ("a", "bad", "b"):
            publish(ProductRetired(sku=sku))
        bus.settle(allow_failures=True)

    # In calm weather the batch is rolled back and redone, so a list gets some twice; rows do not.
    assert {"a", "b"} == set(received)
    assert Retry.objects.get().attempts == (2 if bus.weather == "echo" else 1)
    assert "spoiled" in Retry.objects.get().error
    assert Inbox.objects.filter(consumer="orders.listen").count() == 2


def test_a_failed_delivery_is_retried_and_its_row_is_deleted(calm, received):
    def listen(sku: str) -> None:
        received.append(sku)
        if len(received) == 1:
            raise ValueError("once")

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        calm.settle(allow_failures=True)
        assert Retry.objects.count() == 1
        calm.later(seconds=10)

    assert received == ["teapot", "teapot"]
    assert not Retry.objects.exists()
    assert not DeadLetter.objects.exists()


def test_a_delivery_that_keeps_failing_becomes_a_dead_letter(calm):
    def listen(sku: str) -> None:
        raise ValueError(f"never {sku}")

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="teapot"))
        for _ in range(20):
            calm.later(minutes=10)

    dead = DeadLetter.objects.get()
    assert dead.attempts == 15
    assert dead.signature == "orders.listen ValueError in listen"
    assert dead.envelope["data"] == {"sku": "teapot"}
    assert not Retry.objects.exists()


def test_a_final_error_becomes_a_dead_letter_without_retries(bus):
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


class TestOtherCode:
    """During a deployment, relays and workers of different versions run side by side."""

    @pytest.fixture
    def owed(self, received) -> Consumer:
        """A consumer that has a subscription, and whose code is not here."""

        def listen(sku: str) -> None:
            received.append(sku)

        consumer = make_consumer(listen)
        Subscription.objects.create(
            consumer=consumer.name, event="orders.ProductRetired", since="2000-01-01T00:00Z"
        )
        return consumer

    def test_without_its_code_an_event_waits_and_counts_no_attempt(self, calm, owed, received):
        publish(ProductRetired(sku="teapot"))
        for _ in range(30):
            calm.later(minutes=1)

        (retry,) = Retry.objects.all()
        assert retry.attempts == 0
        assert "manage.py endsubscription orders.listen" in retry.error

        registry.consumers[owed.name] = owed
        try:
            calm.later(minutes=1)
        finally:
            del registry.consumers[owed.name]
        assert received == ["teapot"]
        assert not Retry.objects.exists()

    def test_an_event_that_this_version_of_a_consumer_does_not_read_waits(self, calm, received):
        def listen(sku: str) -> None:
            received.append(sku)

        Subscription.objects.create(
            consumer="orders.listen", event="orders.ProductRelisted", since="2000-01-01T00:00Z"
        )
        with listening_beside_others(make_consumer(listen)):
            now = clock.now()
            other = Envelope(
                id=new_id(),
                name="orders.ProductRelisted",
                payload={"sku": "other"},
                recorded_at=now,
                correlation=new_id(),
            )
            publish(ProductRetired(sku="teapot"))
            known = to_cloudevent(Event.objects.get().envelope())
            deliver(0, "orders.listen", [to_cloudevent(other), known])

        assert received == ["teapot"]
        assert "orders.ProductRelisted" in Retry.objects.get().error

    def test_code_with_fewer_or_older_consumers_ends_no_subscription(self, calm):
        before = set(Subscription.objects.values_list("consumer", "event", "since", "until"))
        with alone("payments"):
            subscriptions.sync()
            assert set(Subscription.objects.values_list(*LISTED)) == before
        subscriptions.sync()
        assert set(Subscription.objects.values_list(*LISTED)) == before

    def test_a_renamed_consumer_keeps_its_identity(self, calm, received):
        def listen(sku: str) -> None:
            received.append(sku)

        def attend(sku: str) -> None:
            received.append(sku)

        old = make_consumer(listen)
        renamed = subscribe("orders.ProductRetired", renamed_from="orders.listen")
        with listening(old):
            publish(ProductRetired(sku="before"))
            calm.settle()
        attend.__module__ = "orders.consumers"
        try:
            renamed(attend)
            assert registry.consumers["orders.listen"].handle is attend
            publish(ProductRetired(sku="after"))
            calm.settle()
            assert received == ["before", "after"]
        finally:
            registry.consumers.pop("orders.listen", None)
        with listening(old):  # and back
            for event in Event.objects.all():
                deliver(0, "orders.listen", [to_cloudevent(event.envelope())])
        assert received == ["before", "after"]

    def test_a_consumer_cannot_be_renamed_from_another_context(self):
        def attend(sku: str) -> None: ...

        with pytest.raises(BadConsumer, match="another context"):
            subscribe("orders.ProductRetired", renamed_from="payments.listen")(attend)


class TestEndingASubscription:
    def end(self, *options: str) -> str:
        out = StringIO()
        call_command("endsubscription", "orders.gone", *options, stdout=out)
        return out.getvalue()

    @pytest.fixture(autouse=True)
    def owed(self, calm):
        for event in ("orders.ProductRetired", "orders.ProductRelisted"):
            Subscription.objects.create(
                consumer="orders.gone", event=event, since="2000-01-01T00:00Z"
            )
        publish(ProductRetired(sku="retried"))
        calm.settle(allow_failures=True, until=lambda: Retry.objects.exists())
        publish(ProductRetired(sku="dispatched"))
        calm._relay.run_once()

    def test_a_dry_run_changes_nothing(self):
        assert "1  events dispatched" in self.end("--dry-run")
        assert Subscription.objects.filter(consumer="orders.gone", until=None).count() == 2

    def test_a_reason_is_required(self):
        with pytest.raises(CommandError, match="reason"):
            self.end("--yes")

    def test_events_it_was_owed_become_dead_letters_and_no_more_are_owed(self, calm):
        self.end("--yes", "--reason", "replaced by payments")
        publish(ProductRetired(sku="later"))
        calm.settle(allow_failures=True)

        skus = [d.envelope["data"]["sku"] for d in DeadLetter.objects.order_by("pk")]
        assert sorted(skus) == ["dispatched", "retried"]
        assert not Retry.objects.exists()
        assert not Dispatch.objects.exists()
        action = Action.objects.get(operation="end_subscription")
        assert action.reason == "replaced by payments"
        assert action.result == {"dead letters": 2}

    def test_a_message_that_arrives_afterwards_is_a_dead_letter(self, calm):
        event = to_cloudevent(Event.objects.order_by("position").first().envelope())
        self.end("--yes", "--reason", "gone", "--event", "orders.ProductRetired")
        DeadLetter.objects.all().delete()
        deliver(0, "orders.gone", [event])
        assert "was ended before" in DeadLetter.objects.get().error
        assert Subscription.objects.filter(consumer="orders.gone", until=None).count() == 1

    def test_a_consumer_that_the_code_still_has_cannot_be_ended(self):
        with pytest.raises(CommandError, match="still subscribes"):
            call_command("endsubscription", "payments.expect_payment", "--yes", "--reason", "no")

    def test_a_subscription_that_does_not_exist_is_named(self):
        with pytest.raises(CommandError, match=r"manage\.py subscriptions lists them"):
            call_command("endsubscription", "orders.never", "--yes", "--reason", "no")

    def test_the_list_says_where_the_code_is_missing(self):
        out = StringIO()
        call_command("subscriptions", "--without-code", stdout=out)
        assert "orders.gone" in out.getvalue()
        assert "payments.expect_payment" not in out.getvalue()


class TestExternalCalls:
    def test_the_result_of_an_external_call_is_recorded_once(self, bus):
        calls: list[str] = []

        def call(sku: str) -> Callable[[], object]:
            calls.append(sku)
            return lambda: publish(ProductRetired(sku="recorded"))

        with listening(make_consumer(call, external=True)):
            publish(ProductRetired(sku="first"))
            bus.settle(until=lambda: "recorded" in calls)

        assert calls.count("first") == 1

    def test_a_running_external_call_is_not_made_twice(self, calm):
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
                clock.offset += dt.timedelta(seconds=conf().LEASE_SECONDS + 1)
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
    def test_an_interrupted_call_is_repeated_only_if_declared_idempotent(
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


def test_an_envelope_parameter_receives_the_envelope(calm):
    seen: list[UUID] = []

    def listen(envelope: Envelope) -> None:
        seen.append(envelope.id)

    with listening(make_consumer(listen)):
        known = publish(ProductRetired(sku="teapot"))
        calm.settle()

    assert seen == [known]


def test_a_new_consumer_is_not_sent_history(calm: Bus, received: list[str]):
    publish(ProductRetired(sku="old"))
    calm.settle()

    def listen(sku: str) -> None:
        received.append(sku)

    with listening(make_consumer(listen)):
        publish(ProductRetired(sku="new"))
        calm.settle()

    assert received == ["new"]


@pytest.mark.parametrize("key", [None, "sku", lambda sku: [sku, "all"]])
def test_an_event_is_decoded_once_for_its_keys_and_its_handler(calm, received, monkeypatch, key):
    def listen(sku: str) -> None:
        received.append(sku)

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

    assert received == ["a", "b"]
    assert decoded == ["a", "b"]
