"""A paused consumer gets nothing and loses nothing."""

from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from eventbus import publish
from eventbus.consuming.delivery import deliver
from eventbus.errors import CannotRebuild
from eventbus.models import Action, Dispatch, Pause, Retry
from eventbus.operations import pauses, rebuild
from eventbus.testing import Bus, listening
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

ME = "operator:1"


@pytest.fixture
def received() -> dict[str, list[str]]:
    return {"listen": [], "watch": []}


@pytest.fixture
def listening_both(calm: Bus, received: dict[str, list[str]]) -> Iterator[Bus]:
    def listen(sku: str) -> None:
        received["listen"].append(sku)

    def watch(sku: str) -> None:
        received["watch"].append(sku)

    with listening(make_consumer(listen), make_consumer(watch, context="payments")):
        yield calm


def retire(*skus: str) -> None:
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))


@pytest.mark.parametrize("name", ["orders.listen", "orders"])
def test_a_paused_consumer_gets_its_events_after_the_pause_and_once(listening_both, received, name):
    pauses.pause(name, ME, "the shelves are counted")
    retire("a", "b")
    listening_both.settle()
    retire("c")
    listening_both.settle()
    assert received == {"listen": [], "watch": ["a", "b", "c"]}
    assert pauses.backlog("orders.listen").events == 3
    assert pauses.backlog("orders.listen").oldest

    pauses.resume(name, ME)
    listening_both.settle()
    assert sorted(received["listen"]) == ["a", "b", "c"]
    assert not Dispatch.objects.exists()


def test_a_message_that_was_sent_before_the_pause_is_put_back_uncounted(listening_both, received):
    retire("a")
    listening_both._relay.run_once()
    pauses.pause("orders.listen", ME, "a mistake in it")
    for message in listening_both._transport.messages:
        deliver(message.dispatch, message.consumer, message.events)
    listening_both._transport.messages.clear()
    listening_both.settle()
    assert received["listen"] == []
    assert not Retry.objects.exists()

    pauses.resume("orders.listen", ME)
    listening_both.settle()
    assert received["listen"] == ["a"]


def test_the_rest_of_a_message_waits_when_the_pause_comes_between_two_calls(calm):
    calls = []

    def call(sku: str) -> None:
        calls.append(sku)
        if sku == "a":
            pauses.pause("orders.call", ME, "the other system asks for it")

    with listening(make_consumer(call, external=True)):
        retire("a", "b", "c")
        calm.settle()
        assert calls == ["a"]
        assert pauses.backlog("orders").events == 2
        assert not Retry.objects.exists()

        pauses.resume("orders.call", ME)
        calm.settle()
    assert calls == ["a", "b", "c"]
    assert not Dispatch.objects.exists()


def test_a_retry_waits_too(calm):
    def listen(sku: str) -> None:
        raise ValueError(sku)

    with listening(make_consumer(listen)):
        retire("a")
        calm.settle(allow_failures=True, until=lambda: Retry.objects.exists())
        pauses.pause("orders.listen", ME, "a mistake in it")
        for _ in range(5):
            calm.later(minutes=10)

    assert Retry.objects.get().attempts == 1


def test_a_consumer_that_fails_and_is_paused_is_not_probed(calm):
    calls: list[str] = []

    def listen(sku: str) -> None:
        calls.append(sku)
        raise ValueError(sku)

    with listening(make_consumer(listen, key="sku")):
        retire(*(f"{n}" for n in range(20)))
        calm.settle(allow_failures=True, until=lambda: len(calls) > 15)
        pauses.pause("orders.listen", ME, "a mistake in it")
        before = len(calls)
        for _ in range(5):
            calm.later(minutes=10)

    assert len(calls) == before


def test_a_rebuild_of_a_paused_context_is_refused(db):
    pauses.pause("analytics.count_sale", ME, "figures are compared")
    with pytest.raises(CannotRebuild, match="paused"):
        rebuild.preview("analytics")


class TestCommands:
    def run(self, command: str, *options: str) -> str:
        out = StringIO()
        call_command(command, *options, stdout=out)
        return out.getvalue()

    def test_pause_and_resume_are_listed_and_audited(self, listening_both):
        retire("a")
        assert "No consumer is paused" in self.run("pauseconsumer")
        self.run("pauseconsumer", "orders.listen", "--reason", "a count", "--yes")
        listening_both.settle()
        listed = self.run("pauseconsumer")
        assert "orders.listen since" in listed
        assert "a count. 1 events wait, the oldest since" in listed
        assert '"events": 1' in self.run("pauseconsumer", "--json")

        self.run("resumeconsumer", "orders.listen", "--yes")
        rows = Action.objects.order_by("pk").values_list("operation", "selection", "reason")
        assert list(rows) == [
            ("pause", {"name": "orders.listen"}, "a count"),
            ("resume", {"name": "orders.listen"}, ""),
        ]

    def test_a_dry_run_changes_nothing(self, db):
        self.run("pauseconsumer", "orders.mark_reserved", "--reason", "why", "--dry-run")
        assert not Pause.objects.exists()

    def test_a_reason_is_required(self, db):
        with pytest.raises(CommandError, match="reason"):
            self.run("pauseconsumer", "orders.mark_reserved", "--yes")

    def test_a_name_that_does_not_exist_is_refused(self, db):
        with pytest.raises(CommandError, match="No consumer is called"):
            self.run("pauseconsumer", "orders.nothing", "--reason", "why", "--yes")
        with pytest.raises(CommandError, match="is not paused"):
            self.run("resumeconsumer", "orders.nothing", "--yes")
