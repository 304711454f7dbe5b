"""Lost messages are resent, events that kill workers are dead letters, failures are probed."""

import contextlib
import datetime as dt
import threading
from uuid import uuid4

import pytest
from django.db import connection, transaction

from eventbus import GiveUp, publish
from eventbus.conf import conf
from eventbus.consuming.delivery import deliver
from eventbus.models import (
    ConsumerHealth,
    DeadLetter,
    Dispatch,
    Event,
    Inbox,
    Outbox,
    QueueMarker,
    Retry,
)
from eventbus.relay import lost_messages
from eventbus.relay.low_watermark import LowWatermark
from eventbus.relay.relay import Relay
from eventbus.testing import InMemoryTransport, alone, listening
from infra import clock
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer


class LossyTransport(InMemoryTransport):
    """A transport to another process: it may lose messages, and carries markers."""

    in_process = False

    def __init__(self) -> None:
        super().__init__()
        self.markers: list[tuple[str, str]] = []

    def send_marker(self, queue: str, sent_at: str) -> None:
        self.markers.append((queue, sent_at))


def listen(sku: str) -> None:
    """Do nothing."""


@pytest.fixture
def lossy() -> LossyTransport:
    return LossyTransport()


@pytest.fixture
def relay(db, lossy):
    with alone("nobody"), listening(make_consumer(listen)):
        yield Relay(lossy)


def retire(*skus: str) -> None:
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))


def marker_received(at: dt.datetime) -> None:
    QueueMarker.objects.update_or_create(queue="orders", defaults={"received_up_to": at})


@pytest.mark.postgres  # SQLite flushes each commit
def test_a_message_from_before_a_crash_deletes_no_dispatch_that_has_its_number(relay, lossy):
    def others(sku: str) -> None:
        """Do nothing."""

    retire("before")
    relay.run_once()
    (old,) = lossy.messages
    with connection.cursor() as cursor:  # the claim was not flushed: its number comes again
        cursor.execute("DELETE FROM eventbus_dispatch")
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('eventbus_dispatch', 'id'), %s, false)",
            [old.dispatch],
        )
    with listening(make_consumer(others)):
        retire("after")
        relay.run_once()

        again = {message.dispatch: message for message in lossy.messages[1:]}
        assert old.dispatch in again
        deliver(old.dispatch, old.consumer, old.events)
        assert set(Dispatch.objects.values_list("pk", flat=True)) == set(again)
        for message in again.values():
            deliver(message.dispatch, message.consumer, message.events)
    assert not Dispatch.objects.exists()


def test_a_retry_whose_event_is_not_in_the_log_stops_no_other(relay, lossy):
    retire("a", "b")
    past = clock.now() - dt.timedelta(minutes=1)
    unlogged = uuid4()  # as after a restore of the database
    for event in (unlogged, *Event.objects.values_list("pk", flat=True)):
        Retry.objects.create(
            consumer="orders.listen", event_id=event, next_at=past, failed_at=past, error="none"
        )
    Dispatch.objects.create(
        consumer="orders.listen", event_ids=[str(uuid4()), str(Event.objects.first().pk)]
    )

    relay.run_once()

    sent = [event["data"]["sku"] for message in lossy.messages for event in message.events]
    assert sorted(sent) == ["a", "a", "b"]
    unknown = DeadLetter.objects.filter(name="unknown")
    assert unknown.count() == 2
    assert str(unlogged) in unknown.get(event_id=unlogged).error
    assert not Retry.objects.filter(event_id=unlogged).exists()


class TestLostMessages:
    def test_a_message_lost_by_the_broker_is_sent_again(self, relay, lossy):
        retire("a")
        relay.run_once()
        lossy.messages.clear()  # the broker has lost everything
        clock.offset = dt.timedelta(minutes=10)
        marker_received(clock.now() - dt.timedelta(minutes=1))

        assert lost_messages.resend_lost(lossy, ["orders"]) == 1
        relay.run_once()
        (message,) = lossy.messages
        assert message.suspect
        deliver(message.dispatch, message.consumer, message.events, message.suspect)
        assert Inbox.objects.filter(consumer="orders.listen").count() == 1
        assert not Dispatch.objects.exists()
        assert not Retry.objects.exists()

    def test_a_long_queue_is_not_lost(self, relay, lossy):
        retire("a")
        relay.run_once()
        sent = clock.now()
        clock.offset = dt.timedelta(hours=3)
        marker_received(sent - dt.timedelta(seconds=5))
        assert lost_messages.resend_lost(lossy, ["orders"]) == 0

    def test_a_slow_handler_is_not_lost(self, relay, lossy):
        retire("a")
        relay.run_once()
        clock.offset = dt.timedelta(minutes=4)
        marker_received(clock.now())
        assert lost_messages.resend_lost(lossy, ["orders"]) == 0

    def test_without_a_marker_no_message_counts_as_lost(self, relay, lossy):
        retire("a")
        relay.run_once()
        clock.offset = dt.timedelta(hours=3)
        assert lost_messages.resend_lost(lossy, ["orders"]) == 0

    def test_one_of_several_relays_sends_the_marker(self, db, lossy):
        lost_messages.resend_lost(lossy, ["orders", "inventory"])
        lost_messages.resend_lost(lossy, ["orders", "inventory"])
        assert [queue for queue, _ in lossy.markers] == ["orders", "inventory"]


@pytest.mark.parametrize("first", ["dead", "failed"])
def test_a_second_copy_lost_with_its_worker_is_delivered_again(relay, lossy, first):
    ends = {"dead": GiveUp(reason="no"), "failed": ValueError(), "killed": SystemExit()}
    now, received = first, []

    def listen(sku: str) -> None:
        if now in ends:
            raise ends[now]
        received.append(sku)

    with listening(make_consumer(listen)):
        # given: one copy has an outcome and deletes the dispatch, the other dies with its worker
        retire("a")
        relay.run_once()
        (message,) = lossy.messages
        lossy.messages.clear()
        deliver(message.dispatch, message.consumer, message.events, suspect=True)
        now = "killed"
        with pytest.raises(SystemExit):
            deliver(message.dispatch, message.consumer, message.events, suspect=True)
        assert not Dispatch.objects.exists()

        # when: the broker loses it
        now = "well"
        assert relay.run_once() == 0
        clock.offset = dt.timedelta(seconds=conf().LOST_AFTER + 1)
        relay.run_once()

        # then
        (message,) = lossy.messages
        deliver(message.dispatch, message.consumer, message.events, message.suspect)
    assert received == ["a"]
    for table in (Retry, DeadLetter, Dispatch):
        assert not table.objects.exists()


def test_an_event_that_kills_its_worker_becomes_a_dead_letter_and_its_neighbours_do_not(
    relay, lossy
):
    def listen(sku: str) -> None:
        if sku == "poison":
            raise SystemExit  # no handler's error: it ends the process

    with listening(make_consumer(listen)):
        retire("a", "poison", "b")
        relay.run_once()
        (message,) = lossy.messages
        for _ in range(5):
            with pytest.raises(SystemExit):
                deliver(message.dispatch, message.consumer, message.events, suspect=True)
        deliver(message.dispatch, message.consumer, message.events, suspect=True)

    dead = DeadLetter.objects.get()
    assert dead.envelope["data"] == {"sku": "poison"}
    assert "started 5 times and never ended" in dead.error
    assert Inbox.objects.filter(consumer="orders.listen").count() == 2
    assert not Dispatch.objects.exists()
    assert not Retry.objects.exists()


def test_another_copy_of_an_event_that_killed_its_worker_kills_no_other(relay, lossy):
    starts = 0

    def listen(sku: str) -> None:
        nonlocal starts
        starts += 1
        raise SystemExit  # no handler's error: it ends the process

    with listening(make_consumer(listen)):
        retire("poison")
        relay.run_once()
        (message,) = lossy.messages
        # Each death leaves its dispatch, and a retry of which another dispatch is made.
        copy = Dispatch.objects.create(
            consumer=message.consumer, event_ids=[event["id"] for event in message.events]
        )
        while not DeadLetter.objects.exists():
            with contextlib.suppress(SystemExit):
                deliver(message.dispatch, message.consumer, message.events, suspect=True)
        deliver(copy.pk, message.consumer, message.events, suspect=True)

    assert starts == 5
    assert DeadLetter.objects.count() == 1
    assert not Dispatch.objects.exists()
    assert not Retry.objects.exists()


class TestProbing:
    @pytest.fixture(autouse=True)
    def few(self, settings):
        settings.EVENTBUS = {**settings.EVENTBUS, "PROBE_AFTER_FAILURES": 3, "BATCH_SIZE": 1}

    def test_an_unhealthy_consumer_gets_one_event_at_a_time_until_one_succeeds(self, relay, lossy):
        down = True

        def listen(sku: str) -> None:
            if down:
                raise ConnectionError("down")

        def deliver_all() -> int:
            messages = list(lossy.messages)
            lossy.messages.clear()
            for message in messages:
                deliver(message.dispatch, message.consumer, message.events, message.suspect)
            return len(messages)

        with listening(make_consumer(listen)):
            # given: three failures in a row
            retire("a", "b", "c")
            relay.run_once()
            assert deliver_all() == 3
            assert ConsumerHealth.objects.get().failures == 3

            # when: more comes, and time passes
            retire(*"defghij")
            relay.run_once()
            assert deliver_all() == 0, "they are held back"
            clock.offset += dt.timedelta(minutes=10)
            relay.run_once()
            assert deliver_all() == 1, "one is a probe"
            assert max(Retry.objects.values_list("attempts", flat=True)) <= 2

            # then: a probe succeeds, and the others follow
            down = False
            clock.offset += dt.timedelta(minutes=10)
            relay.run_once()
            assert deliver_all() == 1
            assert not ConsumerHealth.objects.exists()
            clock.offset += dt.timedelta(minutes=10)
            while relay.run_once() or deliver_all():
                continue

        assert Inbox.objects.filter(consumer="orders.listen").count() == 10
        assert not DeadLetter.objects.exists()

    def test_one_bad_event_among_good_ones_leaves_the_consumer_healthy(
        self, relay, lossy, settings
    ):
        settings.EVENTBUS = {**settings.EVENTBUS, "RETRY_DELAY": 3600}  # no retry comes in between

        def listen(sku: str) -> None:
            if sku == "bad":
                raise ValueError("bad")

        with listening(make_consumer(listen)):
            for n in range(5):
                retire("bad", f"good-{n}")
                while relay.run_once():
                    continue
                while lossy.messages:
                    message = lossy.messages.pop(0)
                    deliver(message.dispatch, message.consumer, message.events, message.suspect)

        assert not ConsumerHealth.objects.exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_the_low_watermark_rises_only_past_ids_whose_writers_have_ended(monkeypatch):
    monkeypatch.setattr("eventbus.relay.low_watermark._READ_INTERVAL", 0.0)
    watermark, wrote, may_commit = LowWatermark(), threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            publish(ProductRetired(sku="late"))
            wrote.set()
            assert may_commit.wait(30)
        connection.close()

    def claim() -> list[int]:
        rows = list(
            Outbox.objects.filter(pk__gte=watermark.next_start()).values_list("pk", flat=True)
        )
        Outbox.objects.filter(pk__in=rows).delete()
        watermark.record_claim(exhausted=True)
        return rows

    thread = threading.Thread(target=slow)
    thread.start()
    assert wrote.wait(30)
    retire("early")
    (early,) = claim()
    for _ in range(5):
        claim()
    assert watermark.next_start() < early, "a transaction may still write below"

    may_commit.set()
    thread.join()
    (late,) = claim()
    assert late < early
    for _ in range(5):
        claim()
    assert watermark.next_start() > early
