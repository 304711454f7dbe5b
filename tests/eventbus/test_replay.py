"""Telling one consumer again: it alone, once, and twice only where that is declared."""

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
from eventbus.operations.dead_letter_filter import DeadLetterFilter as Letters
from eventbus.operations.dead_letters import discard, edit_and_retry, retry
from eventbus.operations.replay import ReplayRequest
from eventbus.relay import subscriptions
from eventbus.relay.relay import Relay
from eventbus.testing import InMemoryTransport, alone, listening
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

LISTEN = ReplayRequest(consumer="orders.listen")


def say(*skus: str) -> None:
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def late(bus, heard) -> Iterator[list[str]]:
    """A replayable consumer that began to listen after two events."""

    def listen(sku: str) -> None:
        if sku == "bad":
            raise GiveUp(reason="bad")
        heard.append(sku)

    others: list[str] = []

    def watch(sku: str) -> None:
        others.append(sku)

    with alone("nobody"), listening(make_consumer(watch)):
        say("a", "b")
        bus.settle()
        with listening(make_consumer(listen, replayable=True)):
            yield others


def test_a_consumer_is_told_what_it_never_heard_and_nobody_else_is(bus, late, heard):
    say("c")
    bus.settle()
    assert heard == ["c"]

    assert replay.replay(LISTEN, "operator:1") == 2
    bus.settle()
    assert sorted(heard) == ["a", "b", "c"]
    assert sorted(late) == ["a", "b", "c"]
    assert not Dispatch.objects.exists()


def test_what_was_handled_is_skipped(bus, late, heard):
    replay.replay(LISTEN, "operator:1")
    bus.settle()
    assert replay.replay(LISTEN, "operator:1") == 0
    assert sorted(heard) == ["a", "b"]


def test_replayed_twice_before_it_arrives_it_is_handled_once(bus, late, heard):
    replay.replay(LISTEN, "operator:1")
    replay.replay(LISTEN, "operator:1")
    bus.settle()
    assert sorted(heard) == ["a", "b"]


def test_again_a_consumer_handles_what_was_asked_for_once_more(bus, late, heard):
    say("c")
    bus.settle()
    (event,) = Event.objects.filter(payload__sku="c")
    only = ReplayRequest(consumer="orders.listen", aggregate=event.aggregate)
    heard.clear()

    assert replay.replay(only, "operator:1", again=True) == 1
    bus.settle()
    assert heard == ["c"]
    assert Subscription.objects.get(consumer="orders.listen").generation == 1


def test_again_what_was_not_asked_for_is_still_known_as_handled(bus, late, heard):
    say("c", "d")
    bus.settle()
    heard.clear()
    event = Event.objects.get(payload__sku="d")
    only = ReplayRequest(consumer="orders.listen", aggregate=event.aggregate)
    replay.replay(only, "operator:1", again=True)
    bus.settle()
    # when: the broker brings an old message once more
    c = Event.objects.get(payload__sku="c")
    Dispatch.objects.create(consumer="orders.listen", event_ids=[str(c.pk)])
    bus.settle()
    assert "c" not in heard
    assert Inbox.objects.filter(consumer="orders.listen", generation=1).count() == 2


def test_cut_off_after_the_new_generation_the_rest_is_done_without_again(bus, late, heard):
    say("c")
    bus.settle()
    heard.clear()

    def killed(n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay.replay(LISTEN, "operator:1", again=True, rate=1000, progress=killed)
    replay.replay(LISTEN, "operator:1")
    bus.settle()
    assert sorted(heard) == ["a", "b", "c"]
    assert Action.objects.filter(ended_at=None).count() == 1


def test_dead_letters_and_what_was_discarded_stay_as_they_are(bus, late, heard):
    say("bad", "bad")
    bus.settle(trouble=True)
    first = DeadLetter.objects.order_by("pk").first()
    discard(Letters(ids=(first.pk,)), "nobody wants it", "operator:1")
    found = replay.preview(LISTEN)
    assert found == {
        "matching": 4,
        "handled": 0,
        "dead letters": 1,
        "discarded": 1,
        "retrying": 0,
        "to deliver": 2,
    }
    assert replay.replay(LISTEN, "operator:1") == 2


def test_what_was_corrected_is_replayed_as_corrected(bus, late, heard):
    say("bad")
    bus.settle(trouble=True)
    edit_and_retry(DeadLetter.objects.get().pk, {"sku": "good"}, "operator:1")
    bus.settle(trouble=True)
    assert heard == ["good"]
    replay.replay(LISTEN, "operator:1", again=True)
    bus.settle()
    assert sorted(heard) == ["a", "b", "good", "good"]


def test_a_replay_is_delivered_in_batches(late):
    basket = InMemoryTransport()
    replay.replay(LISTEN, "operator:1")
    Relay(basket).turn()
    (message,) = basket.messages
    assert not message.suspect
    assert len(Dispatch.objects.get(pk=message.dispatch).event_ids) == 2


def test_who_is_not_replayable_is_not_told_twice(calm):
    def listen(sku: str) -> None:
        """Hear."""

    with listening(make_consumer(listen)):
        with pytest.raises(CannotReplay, match="not declared replayable"):
            replay.replay(LISTEN, "operator:1", again=True)
        assert not Action.objects.exists()
        assert replay.replay(LISTEN, "operator:1") == 0


def test_who_calls_outside_is_not_told_again_at_all(calm):
    def listen(sku: str) -> None:
        """Hear."""

    with (
        listening(make_consumer(listen, external=True, replayable=True)),
        pytest.raises(CannotReplay, match="calls external systems"),
    ):
        replay.replay(LISTEN, "operator:1")


def test_it_says_whom_it_does_not_know_and_what_is_not_heard(calm, late):
    with pytest.raises(UnknownConsumer):
        replay.preview(ReplayRequest(consumer="orders.nobody"))
    with pytest.raises(CannotReplay, match=r"only to orders\.ProductRetired"):
        replay.preview(ReplayRequest(consumer="orders.listen", name="orders.OrderPlaced"))


def test_a_rate_is_kept(late, monkeypatch):
    now, slept = [0.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(replay.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(replay.time, "sleep", sleep)
    say(*"cdefgh")
    assert replay.replay(LISTEN, "operator:1", rate=2) == 8
    assert sum(slept) == 3.0
    assert Dispatch.objects.filter(consumer="orders.listen").count() == 4


def test_a_replay_is_written_down(late):
    until = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    replay.replay(ReplayRequest(consumer="orders.listen", until=until), "operator:1")
    action = Action.objects.get()
    assert (action.operation, action.actor, action.result) == ("replay", "operator:1", {"sent": 2})
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

    def test_it_sends(self, bus, late, heard):
        assert "Queued 2 events for orders.listen" in self.run("--yes", "--rate", "1000")
        bus.settle()
        assert sorted(heard) == ["a", "b"]

    def test_a_refusal_is_a_sentence(self, late):
        with pytest.raises(CommandError, match="does not subscribe"):
            self.run("--name", "orders.OrderPlaced")


class TestTheMark:
    """Who is told again knows that it is, however often it fails at first."""

    @pytest.fixture
    def marks(self, bus) -> Iterator[dict[str, list[bool]]]:
        """What a consumer that began to listen after one event knows of each delivery."""
        marks: dict[str, list[bool]] = {}

        def listen(sku: str, envelope: Envelope) -> None:
            marks.setdefault(sku, []).append(envelope.replayed)
            if sku == "bad":
                raise GiveUp(reason="bad")
            if sku == "frail" and len(marks[sku]) == 1:
                raise ConnectionError("once")

        with alone("nobody"):
            subscriptions.sync()
            say("old", "frail", "bad")
            bus.settle()
            with listening(make_consumer(listen)):
                yield marks

    def test_what_is_replayed_is_marked_and_what_is_new_is_not(self, bus, marks):
        say("new")
        bus.settle()
        replay.replay(LISTEN, "operator:1")
        bus.settle(trouble=True)
        assert set(marks["old"]) == {True}
        assert set(marks["new"]) == {False}

    def test_the_mark_outlives_a_failure(self, bus, marks):
        replay.replay(LISTEN, "operator:1")
        bus.settle(trouble=True)
        bus.later(minutes=1)
        assert not Retry.objects.exists()
        assert marks["frail"] == [True, True]

    def test_the_mark_outlives_a_death(self, bus, marks):
        replay.replay(LISTEN, "operator:1")
        bus.settle(trouble=True)
        (letter,) = DeadLetter.objects.all()
        assert letter.envelope["replayed"] is True
        marks.clear()
        retry(Letters(ids=(letter.pk,)), "operator:1")
        bus.settle(trouble=True)
        assert set(marks["bad"]) == {True}
