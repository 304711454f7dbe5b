"""Replays: to one consumer only, and of handled events only if it is declared replayable."""

import datetime as dt
from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from eventbus import GiveUp, publish
from eventbus.errors import CannotReplay, UnknownConsumer
from eventbus.events import Envelope
from eventbus.models import Action, DeadLetter, Dispatch, Event, Inbox, Outbox, Retry, Subscription
from eventbus.operations import replay
from eventbus.operations.dead_letter_filter import DeadLetterFilter as Filter
from eventbus.operations.dead_letters import discard, edit_and_retry, retry
from eventbus.operations.replay import ReplayRequest
from eventbus.relay import subscriptions
from eventbus.relay.relay import Relay
from eventbus.testing import InMemoryTransport, alone, listening
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

LISTEN = ReplayRequest(consumer="orders.listen")


def publish_all(*skus: str) -> None:
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))


@pytest.fixture
def handled() -> list[str]:
    return []


@pytest.fixture
def late(bus, handled) -> Iterator[list[str]]:
    """A replayable consumer, added after two events; yields the skus that another one handled."""

    def listen(sku: str) -> None:
        if sku == "bad":
            raise GiveUp(reason="bad")
        handled.append(sku)

    others: list[str] = []

    def watch(sku: str) -> None:
        others.append(sku)

    with alone("nowhere"), listening(make_consumer(watch)):
        publish_all("a", "b")
        bus.settle()
        with listening(make_consumer(listen, replayable=True)):
            yield others


def test_a_replay_delivers_unhandled_events_to_one_consumer_only(bus, late, handled):
    publish_all("c")
    bus.settle()
    assert handled == ["c"]

    assert replay.replay(LISTEN, "operator:1") == 2
    bus.settle()
    assert sorted(handled) == ["a", "b", "c"]
    assert sorted(late) == ["a", "b", "c"]
    assert not Dispatch.objects.exists()


def test_handled_events_are_skipped(bus, late, handled):
    replay.replay(LISTEN, "operator:1")
    bus.settle()
    assert replay.replay(LISTEN, "operator:1") == 0
    assert sorted(handled) == ["a", "b"]


def test_an_event_replayed_twice_is_handled_once(bus, late, handled):
    replay.replay(LISTEN, "operator:1")
    replay.replay(LISTEN, "operator:1")
    bus.settle()
    assert sorted(handled) == ["a", "b"]


def test_again_delivers_the_selected_handled_events_once_more(bus, late, handled):
    publish_all("c")
    bus.settle()
    (event,) = Event.objects.filter(payload__sku="c")
    only = ReplayRequest(consumer="orders.listen", aggregate=event.aggregate)
    handled.clear()

    assert replay.replay(only, "operator:1", again=True) == 1
    bus.settle()
    assert handled == ["c"]
    assert Subscription.objects.get(consumer="orders.listen").generation == 1


def test_again_leaves_other_events_handled(bus, late, handled):
    publish_all("c", "d")
    bus.settle()
    handled.clear()
    event = Event.objects.get(payload__sku="d")
    only = ReplayRequest(consumer="orders.listen", aggregate=event.aggregate)
    replay.replay(only, "operator:1", again=True)
    bus.settle()
    # when: the broker delivers an old message again
    c = Event.objects.get(payload__sku="c")
    Dispatch.objects.create(consumer="orders.listen", event_ids=[str(c.pk)])
    bus.settle()
    assert "c" not in handled
    assert Inbox.objects.filter(consumer="orders.listen", generation=1).count() == 2


def test_an_interrupted_replay_is_completed_without_again(bus, late, handled):
    publish_all("c")
    bus.settle()
    handled.clear()

    def killed(n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay.replay(LISTEN, "operator:1", again=True, rate=1000, progress=killed)
    replay.replay(LISTEN, "operator:1")
    bus.settle()
    assert sorted(handled) == ["a", "b", "c"]
    assert Action.objects.filter(ended_at=None).count() == 1


def test_a_replay_leaves_dead_letters_and_discarded_events_alone(bus, late, handled):
    publish_all("bad", "bad")
    bus.settle(allow_failures=True)
    first = DeadLetter.objects.order_by("pk").first()
    discard(Filter(ids=(first.pk,)), "not needed", "operator:1")
    found = replay.preview(LISTEN)
    assert found == {
        "matching": 4,
        "handled": 0,
        "dead letters": 1,
        "discarded": 1,
        "parked": 0,
        "retrying": 0,
        "to deliver": 2,
    }
    assert replay.replay(LISTEN, "operator:1") == 2


def test_a_replay_delivers_the_corrected_payload(bus, late, handled):
    publish_all("bad")
    bus.settle(allow_failures=True)
    edit_and_retry(DeadLetter.objects.get().pk, {"sku": "good"}, "operator:1")
    bus.settle(allow_failures=True)
    assert handled == ["good"]
    replay.replay(LISTEN, "operator:1", again=True)
    bus.settle()
    assert sorted(handled) == ["a", "b", "good", "good"]


def test_a_replay_is_delivered_in_batches(late):
    transport = InMemoryTransport()
    replay.replay(LISTEN, "operator:1")
    Relay(transport).run_once()
    (message,) = transport.messages
    assert not message.suspect
    assert len(Dispatch.objects.get(pk=message.dispatch).event_ids) == 2


def test_a_consumer_that_is_not_replayable_gets_no_handled_event_again(calm):
    def listen(sku: str) -> None:
        pass

    with listening(make_consumer(listen)):
        with pytest.raises(CannotReplay, match="not declared replayable"):
            replay.replay(LISTEN, "operator:1", again=True)
        assert not Action.objects.exists()
        assert replay.replay(LISTEN, "operator:1") == 0


def test_an_external_consumer_refuses_a_replay(calm):
    def listen(sku: str) -> None:
        pass

    with (
        listening(make_consumer(listen, external=True, replayable=True)),
        pytest.raises(CannotReplay, match="calls external systems"),
    ):
        replay.replay(LISTEN, "operator:1")


def test_an_error_names_the_unknown_consumer_or_event(calm, late):
    with pytest.raises(UnknownConsumer):
        replay.preview(ReplayRequest(consumer="orders.missing"))
    with pytest.raises(CannotReplay, match=r"only to orders\.ProductRetired"):
        replay.preview(ReplayRequest(consumer="orders.listen", name="orders.OrderPlaced"))


def test_a_rate_is_kept(late, monkeypatch):
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(replay.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(replay.time, "sleep", sleep)
    publish_all(*"cdefgh")
    assert replay.replay(LISTEN, "operator:1", rate=2) == 8
    assert sum(slept) == 3.0
    assert Dispatch.objects.filter(consumer="orders.listen").count() == 4


def test_a_replay_is_recorded(late):
    until = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    replay.replay(ReplayRequest(consumer="orders.listen", until=until), "operator:1")
    action = Action.objects.get()
    assert (action.operation, action.actor, action.result) == (
        "replay",
        "operator:1",
        {"queued": 2},
    )
    assert action.selection["until"] == "2100-01-01T00:00:00.000000Z"
    assert action.preview["to deliver"] == 2


class TestTheCommand:
    def run(self, *options: str) -> str:
        out = StringIO()
        call_command("replayevents", "--consumer", "orders.listen", *options, stdout=out)
        return out.getvalue()

    def test_a_dry_run_counts_and_changes_nothing(self, late):
        assert "2  to deliver" in self.run("--dry-run")
        assert not Dispatch.objects.exists()
        assert not Outbox.objects.exists()

    def test_it_replays(self, bus, late, handled):
        assert "Queued 2 events for orders.listen" in self.run("--yes", "--rate", "1000")
        bus.settle()
        assert sorted(handled) == ["a", "b"]

    def test_a_refusal_is_a_sentence(self, late):
        with pytest.raises(CommandError, match="does not subscribe"):
            self.run("--name", "orders.OrderPlaced")


class TestTheReplayedMark:
    """The mark reaches the consumer, also after failed attempts."""

    @pytest.fixture
    def marks(self, bus) -> Iterator[dict[str, list[bool]]]:
        """The marks of each delivery to a consumer that was added after three events, by sku."""
        marks: dict[str, list[bool]] = {}

        def listen(sku: str, envelope: Envelope) -> None:
            marks.setdefault(sku, []).append(envelope.replayed)
            if sku == "bad":
                raise GiveUp(reason="bad")
            if sku == "flaky" and len(marks[sku]) == 1:
                raise ConnectionError("once")

        with alone("nowhere"):
            subscriptions.sync()
            publish_all("old", "flaky", "bad")
            bus.settle()
            with listening(make_consumer(listen)):
                yield marks

    def test_replayed_events_are_marked_and_new_events_are_not(self, bus, marks):
        publish_all("new")
        bus.settle()
        replay.replay(LISTEN, "operator:1")
        bus.settle(allow_failures=True)
        assert set(marks["old"]) == {True}
        assert set(marks["new"]) == {False}

    def test_the_mark_survives_a_retry(self, bus, marks):
        replay.replay(LISTEN, "operator:1")
        bus.settle(allow_failures=True)
        bus.later(minutes=1)
        assert not Retry.objects.exists()
        assert marks["flaky"] == [True, True]

    def test_the_mark_survives_a_dead_letter(self, bus, marks):
        replay.replay(LISTEN, "operator:1")
        bus.settle(allow_failures=True)
        (row,) = DeadLetter.objects.all()
        assert row.envelope["replayed"] is True
        marks.clear()
        retry(Filter(ids=(row.pk,)), "operator:1")
        bus.settle(allow_failures=True)
        assert set(marks["bad"]) == {True}
