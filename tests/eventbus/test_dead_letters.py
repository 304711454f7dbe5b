"""Operations on dead letters: retry, discard, note, edit, each with an audit record."""

import datetime as dt
from collections.abc import Iterator
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from eventbus import GiveUp, publish
from eventbus.consuming.retries import dead_letter
from eventbus.errors import BadPayload, NeedsReason, NotInLog, NotInstalled, OutcomeUnknown
from eventbus.events import Envelope
from eventbus.models import (
    Action,
    Correction,
    DeadLetter,
    DiscardedDeadLetter,
    Dispatch,
    Event,
    Inbox,
    Outcome,
    Retry,
)
from eventbus.operations import dead_letters
from eventbus.operations.causation import delivery_status
from eventbus.operations.dead_letter_filter import DeadLetterFilter, group_by_signature
from eventbus.testing import Bus, listening
from infra import clock
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer


class Consumers:
    """Two consumers of one event, of which the first fails for bad skus until `fix`."""

    def __init__(self) -> None:
        self.bad: set[str] = {"b", "c"}
        self.handled: list[str] = []
        self.handled_by_other: list[str] = []

    def fix(self) -> None:
        self.bad.clear()


@pytest.fixture
def consumers(calm) -> Iterator[Consumers]:
    consumers = Consumers()

    def listen(sku: str) -> None:
        if sku in consumers.bad:
            raise GiveUp(reason=f"{sku} is bad")
        consumers.handled.append(sku)

    def watch(sku: str) -> None:
        consumers.handled_by_other.append(sku)

    with listening(make_consumer(listen), make_consumer(watch)):
        yield consumers


@pytest.fixture
def dead(consumers, calm) -> list[DeadLetter]:
    """The dead letters of two events out of three."""
    for sku in ("a", "b", "c"):
        publish(ProductRetired(sku=sku))
    calm.settle(allow_failures=True)
    consumers.handled.clear()
    found = list(DeadLetter.objects.order_by("pk"))
    assert len(found) == 2
    return found


def run(command: str, *options: object, **more: object) -> str:
    out = StringIO()
    call_command(command, *options, stdout=out, **more)
    return out.getvalue()


def test_dead_letters_are_grouped_by_signature(dead):
    (group,) = group_by_signature(DeadLetterFilter())
    assert (group.signature, group.count) == ("orders.listen GiveUp in listen", 2)
    assert (group.oldest, group.newest) == (dead[0].died_at, dead[1].died_at)


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (DeadLetterFilter(), 2),
        (DeadLetterFilter(consumer="orders.listen"), 2),
        (DeadLetterFilter(consumer="orders.watch"), 0),
        (DeadLetterFilter(name="orders.ProductRetired"), 2),
        (DeadLetterFilter(name="orders.OrderPlaced"), 0),
        (DeadLetterFilter(signature="GiveUp"), 2),
        (DeadLetterFilter(signature="ValueError"), 0),
        (DeadLetterFilter(since=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)), 2),
        (DeadLetterFilter(until=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)), 0),
    ],
)
def test_dead_letters_are_selected_by_a_filter(dead, selection, found):
    assert selection.rows().count() == found


def test_retried_dead_letters_are_delivered_with_attempts_counted_from_0(dead, consumers, calm):
    consumers.fix()
    result = dead_letters.retry(DeadLetterFilter(), "operator:1")
    assert not DeadLetter.objects.exists()
    assert set(Retry.objects.values_list("attempts", flat=True)) == {0}

    calm.settle()
    assert sorted(consumers.handled) == ["b", "c"]
    assert consumers.handled_by_other == ["a", "b", "c"]
    assert not Retry.objects.exists()
    assert result == {"orders.listen GiveUp in listen": {"retried": 2}}


def test_only_selected_dead_letters_are_retried(dead, consumers, calm):
    consumers.fix()
    dead_letters.retry(DeadLetterFilter(ids=(dead[1].pk,)), "operator:1")
    calm.settle(until=lambda: bool(consumers.handled), allow_failures=True)
    assert consumers.handled == ["c"]
    assert DeadLetter.objects.get() == dead[0]


def test_a_retry_that_fails_is_a_dead_letter_again(dead, consumers, calm):
    dead_letters.retry(DeadLetterFilter(), "operator:1")
    calm.settle(allow_failures=True)
    assert DeadLetter.objects.count() == 2


def test_a_retry_commits_batch_by_batch(dead, monkeypatch):
    monkeypatch.setattr(dead_letters, "BATCH", 1)

    def killed(n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dead_letters.retry(DeadLetterFilter(), "operator:1", progress=killed)
    assert DeadLetter.objects.count() == Retry.objects.count() == 1
    action = Action.objects.get()
    assert action.ended_at is None
    assert action.result == {"orders.listen GiveUp in listen": {"retried": 1}}
    assert (action.processed, action.total) == (1, 2)
    assert Outcome.objects.count() == 1


def test_a_retry_killed_before_its_commit_changes_nothing(dead, monkeypatch):
    class Killed(KeyboardInterrupt):
        pass

    def kill(name: str) -> None:
        assert name == "dead-letters-retried"
        raise Killed

    monkeypatch.setattr(dead_letters, "reach", kill)
    with pytest.raises(Killed):
        dead_letters.retry(DeadLetterFilter(), "operator:1")
    assert DeadLetter.objects.count() == 2
    assert not Retry.objects.exists()


def test_a_dead_letter_whose_event_is_not_in_the_log_is_not_retried(dead, calm):
    missing = dead[0].event_id
    Event.objects.filter(pk=missing).delete()
    result = dead_letters.retry(DeadLetterFilter(), "operator:1")
    assert DeadLetter.objects.get().event_id == missing
    assert result["orders.listen GiveUp in listen"] == {"retried": 1, "not in the log": 1}


def test_a_retry_repeats_an_interrupted_external_call(calm):
    calls: list[str] = []

    def call(sku: str) -> None:
        calls.append(sku)

    with listening(make_consumer(call, external=True, idempotent=False)):
        id = publish(ProductRetired(sku="teapot"))
        # given: a worker started the call and was killed
        Inbox.objects.create(consumer="orders.call", event_id=id, lease_until=clock.now())
        calm.settle(allow_failures=True)
        assert OutcomeUnknown.__name__ in DeadLetter.objects.get().signature
        assert calls == []

        dead_letters.retry(DeadLetterFilter(), "operator:1")
        calm.settle()
    assert calls == ["teapot"]


def test_a_discarded_dead_letter_is_kept_and_never_delivered(dead, consumers, calm):
    consumers.fix()
    dead_letters.discard(DeadLetterFilter(ids=(dead[0].pk,)), "the product never was", "operator:1")
    calm.settle(allow_failures=True)
    assert consumers.handled == []
    kept = DiscardedDeadLetter.objects.get()
    assert kept.dead_letter["envelope"] == dead[0].envelope
    assert kept.dead_letter["error"] == dead[0].error
    assert kept.action.reason == "the product never was"


def test_nothing_is_discarded_without_a_reason(dead):
    with pytest.raises(NeedsReason):
        dead_letters.discard(DeadLetterFilter(), " ", "operator:1")
    assert DeadLetter.objects.count() == 2


def test_an_edited_payload_reaches_only_its_consumer_and_the_log_keeps_the_original(
    dead, consumers, calm
):
    row = dead[0]
    dead_letters.edit_and_retry(row.pk, {"sku": "better"}, "operator:1")
    calm.settle(allow_failures=True)
    assert consumers.handled == ["better"]
    assert consumers.handled_by_other == ["a", "b", "c"]
    assert Event.objects.get(pk=row.event_id).payload == {"sku": "b"}
    correction = Correction.objects.get()
    assert (correction.original, correction.payload) == ({"sku": "b"}, {"sku": "better"})
    assert Action.objects.get().result["fields"] == ["sku"]


@pytest.mark.parametrize("payload", [{}, {"sku": 7}, {"sku": "b", "colour": "red"}])
def test_an_edited_payload_is_checked_against_the_contract(dead, payload):
    with pytest.raises(BadPayload):
        dead_letters.edit_and_retry(dead[0].pk, payload, "operator:1")
    assert DeadLetter.objects.count() == 2
    assert not Correction.objects.exists()
    assert not Action.objects.exists()


def test_a_payload_of_an_event_that_is_not_installed_is_not_edited(dead):
    DeadLetter.objects.filter(pk=dead[0].pk).update(name="elsewhere.Happened")
    with pytest.raises(NotInstalled, match=r"elsewhere\.Happened"):
        dead_letters.edit_and_retry(dead[0].pk, {"sku": "b"}, "operator:1")


def test_a_payload_whose_event_is_not_in_the_log_is_not_edited(dead):
    Event.objects.filter(pk=dead[0].event_id).delete()
    with pytest.raises(NotInLog):
        dead_letters.edit_and_retry(dead[0].pk, {"sku": "b"}, "operator:1")


def test_each_note_is_added_with_its_operator(dead):
    only = DeadLetterFilter(ids=(dead[0].pk,))
    dead_letters.note(only, "asked the bank", "operator:1")
    dead_letters.note(only, "the bank says no", "operator:2")
    first, second = DeadLetter.objects.get(pk=dead[0].pk).notes.splitlines()
    assert first.endswith("operator:1: asked the bank")
    assert second.endswith("operator:2: the bank says no")
    assert DeadLetter.objects.get(pk=dead[1].pk).notes == ""
    assert set(Action.objects.values_list("operation", "reason")) == {
        ("note", "asked the bank"),
        ("note", "the bank says no"),
    }


def test_an_empty_note_is_refused(dead):
    with pytest.raises(NeedsReason):
        dead_letters.note(DeadLetterFilter(), " ", "operator:1")


def test_the_result_for_each_dead_letter_is_recorded(dead, consumers, calm):
    missing, kept = dead
    Event.objects.filter(pk=missing.event_id).delete()
    dead_letters.retry(DeadLetterFilter(), "operator:1")
    action = Action.objects.get()
    results = dict(Outcome.objects.filter(action=action).values_list("event_id", "result"))
    assert results == {missing.event_id: "not in the log", kept.event_id: "retried"}
    assert (action.processed, action.total) == (2, 2)


def test_an_outcome_shows_the_current_delivery_status(dead, consumers, calm):
    def now() -> list[str]:
        rows = Outcome.objects.annotate(now=delivery_status()).order_by("pk")
        return list(rows.values_list("now", flat=True))

    dead_letters.retry(DeadLetterFilter(), "operator:1")
    assert now() == ["retrying", "retrying"]
    consumers.bad = {"c"}
    calm.settle(allow_failures=True)
    assert now() == ["handled", "dead letter"]
    dead_letters.discard(DeadLetterFilter(), "tired", "operator:1")
    assert now() == ["handled", "discarded", "discarded"]


def test_every_operation_is_recorded(dead):
    dead_letters.retry(DeadLetterFilter(ids=(dead[0].pk,)), "operator:1")
    dead_letters.discard(DeadLetterFilter(signature="GiveUp"), "tired", "operator:2")
    retried, discarded = Action.objects.order_by("pk")
    assert (retried.operation, retried.actor) == ("retry", "operator:1")
    assert retried.selection == {"ids": [dead[0].pk]}
    assert retried.preview == {"orders.listen GiveUp in listen": 1}
    assert (discarded.operation, discarded.reason) == ("discard", "tired")
    assert discarded.result == {"orders.listen GiveUp in listen": {"discarded": 1}}
    assert retried.ended_at
    assert discarded.ended_at


class TestTheCommands:
    def test_the_list_shows_groups_with_their_counts(self, dead):
        assert "2  dead letters" in run("deadletters")
        assert "orders.listen GiveUp in listen" in run("deadletters", consumer="orders.listen")
        assert "0  dead letters" in run("deadletters", "--until", "2020-01-01")

    def test_a_dry_run_changes_nothing(self, dead):
        run("retrydeadletters", "--dry-run")
        run("discarddeadletters", "--dry-run", "--reason", "tired")
        assert DeadLetter.objects.count() == 2
        assert not Action.objects.exists()

    def test_without_a_yes_nothing_happens(self, dead, monkeypatch):
        monkeypatch.setattr("builtins.input", lambda: "")
        assert "Nothing was changed." in run("retrydeadletters")
        assert DeadLetter.objects.count() == 2

    def test_a_yes_is_enough(self, dead, monkeypatch):
        monkeypatch.setattr("builtins.input", lambda: "y")
        assert "2 retried" in run("retrydeadletters")
        assert not DeadLetter.objects.exists()

    def test_they_change_only_selected_dead_letters_and_report_by_group(self, dead):
        assert "1 retried" in run("retrydeadletters", "--id", str(dead[0].pk), "--yes")
        assert "1 discarded" in run("discarddeadletters", "--reason", "tired", "--yes")
        assert Action.objects.first().actor.startswith("command:retrydeadletters")

    def test_a_note_is_added_to_selected_dead_letters(self, dead):
        assert "2 noted" in run("notedeadletters", "the bank is unreachable", "--yes")
        for row in DeadLetter.objects.all():
            assert row.notes.endswith(": the bank is unreachable")
        with pytest.raises(CommandError, match="is required"):
            run("notedeadletters", " ", "--yes")

    def test_discarding_requires_a_reason(self, dead):
        with pytest.raises(CommandError, match="--reason"):
            run("discarddeadletters", "--yes")
        with pytest.raises(CommandError, match="is required"):
            run("discarddeadletters", "--yes", "--reason", "")


@pytest.mark.django_db
def test_a_retried_dead_letter_is_delivered_once_its_consumer_exists(calm: Bus):
    with transaction.atomic():
        id: UUID = publish(ProductRetired(sku="teapot"))
    event = Event.objects.get(pk=id)
    envelope: Envelope = event.envelope()
    dead_letter("orders.later_on", envelope, GiveUp(reason="no such consumer"), 1)
    dead_letters.retry(DeadLetterFilter(consumer="orders.later_on"), "operator:1")
    handled: list[str] = []

    def later_on(sku: str) -> None:
        handled.append(sku)

    with listening(make_consumer(later_on)):
        calm.settle()
    assert "teapot" in handled
    assert not Dispatch.objects.exists()
