"""What operators may do with dead letters, and that each of it is written down."""

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


class Ears:
    """Two consumers of one event; what one of them cannot stand can be mended."""

    def __init__(self) -> None:
        self.bad: set[str] = {"b", "c"}
        self.heard: list[str] = []
        self.neighbour: list[str] = []

    def mend(self) -> None:
        self.bad.clear()


@pytest.fixture
def ears(calm) -> Iterator[Ears]:
    ears = Ears()

    def listen(sku: str) -> None:
        if sku in ears.bad:
            raise GiveUp(reason=f"{sku} is bad")
        ears.heard.append(sku)

    def watch(sku: str) -> None:
        ears.neighbour.append(sku)

    with listening(make_consumer(listen), make_consumer(watch)):
        yield ears


@pytest.fixture
def dead(ears, calm) -> list[DeadLetter]:
    """Three events, of which two died."""
    for sku in ("a", "b", "c"):
        publish(ProductRetired(sku=sku))
    calm.settle(trouble=True)
    ears.heard.clear()
    found = list(DeadLetter.objects.order_by("pk"))
    assert len(found) == 2
    return found


def run(command: str, *options: object, **more: object) -> str:
    out = StringIO()
    call_command(command, *options, stdout=out, **more)
    return out.getvalue()


def test_letters_are_grouped_by_signature(dead):
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
def test_letters_are_selected_by_a_filter(dead, selection, found):
    assert selection.rows().count() == found


def test_letters_retried_are_delivered_as_if_for_the_first_time(dead, ears, calm):
    ears.mend()
    result = dead_letters.retry(DeadLetterFilter(), "operator:1")
    assert not DeadLetter.objects.exists()
    assert set(Retry.objects.values_list("attempts", flat=True)) == {0}

    calm.settle()
    assert sorted(ears.heard) == ["b", "c"]
    assert ears.neighbour == ["a", "b", "c"]
    assert not Retry.objects.exists()
    assert result == {"orders.listen GiveUp in listen": {"retried": 2}}


def test_only_what_was_selected_is_retried(dead, ears, calm):
    ears.mend()
    dead_letters.retry(DeadLetterFilter(ids=(dead[1].pk,)), "operator:1")
    calm.settle(until=lambda: bool(ears.heard), trouble=True)
    assert ears.heard == ["c"]
    assert DeadLetter.objects.get() == dead[0]


def test_what_dies_again_is_a_letter_again(dead, ears, calm):
    dead_letters.retry(DeadLetterFilter(), "operator:1")
    calm.settle(trouble=True)
    assert DeadLetter.objects.count() == 2


def test_retrying_is_done_in_batches_and_each_of_them_whole(dead, ears, monkeypatch):
    """A process killed between two batches has done one, and says so."""
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


def test_killed_while_letters_are_retried_neither_is_lost_nor_there_twice(dead, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        assert name == "dead-letters-retried"
        raise Killed

    monkeypatch.setattr(dead_letters, "reach", kill)
    with pytest.raises(Killed):
        dead_letters.retry(DeadLetterFilter(), "operator:1")
    assert DeadLetter.objects.count() == 2
    assert not Retry.objects.exists()


def test_what_is_no_longer_in_the_log_stays_a_letter(dead, calm):
    lost = dead[0].event_id
    Event.objects.filter(pk=lost).delete()
    result = dead_letters.retry(DeadLetterFilter(), "operator:1")
    assert DeadLetter.objects.get().event_id == lost
    assert result["orders.listen GiveUp in listen"] == {"retried": 1, "not in the log": 1}


def test_a_call_cut_off_is_made_again_on_an_operators_word(calm):
    calls: list[str] = []

    def call(sku: str) -> None:
        calls.append(sku)

    with listening(make_consumer(call, external=True, idempotent=False)):
        id = publish(ProductRetired(sku="teapot"))
        # given: a worker began to call and was never heard of again
        Inbox.objects.create(consumer="orders.call", event_id=id, lease_until=clock.now())
        calm.settle(trouble=True)
        assert OutcomeUnknown.__name__ in DeadLetter.objects.get().signature
        assert calls == []

        dead_letters.retry(DeadLetterFilter(), "operator:1")
        calm.settle()
    assert calls == ["teapot"]


def test_a_letter_discarded_is_kept_whole_and_never_delivered(dead, ears, calm):
    ears.mend()
    dead_letters.discard(DeadLetterFilter(ids=(dead[0].pk,)), "the product never was", "operator:1")
    calm.settle(trouble=True)
    assert ears.heard == []
    kept = DiscardedDeadLetter.objects.get()
    assert kept.dead_letter["envelope"] == dead[0].envelope
    assert kept.dead_letter["error"] == dead[0].error
    assert kept.action.reason == "the product never was"


def test_nothing_is_discarded_without_a_reason(dead):
    with pytest.raises(NeedsReason):
        dead_letters.discard(DeadLetterFilter(), " ", "operator:1")
    assert DeadLetter.objects.count() == 2


def test_a_letter_edited_reaches_its_consumer_alone_and_the_log_keeps_its_words(dead, ears, calm):
    letter = dead[0]
    dead_letters.edit_and_retry(letter.pk, {"sku": "better"}, "operator:1")
    calm.settle(trouble=True)
    assert ears.heard == ["better"]
    assert ears.neighbour == ["a", "b", "c"]
    assert Event.objects.get(pk=letter.event_id).payload == {"sku": "b"}
    correction = Correction.objects.get()
    assert (correction.original, correction.payload) == ({"sku": "b"}, {"sku": "better"})
    assert Action.objects.get().result["fields"] == ["sku"]


@pytest.mark.parametrize("payload", [{}, {"sku": 7}, {"sku": "b", "colour": "red"}])
def test_an_edited_payload_is_held_against_the_contract(dead, payload):
    with pytest.raises(BadPayload):
        dead_letters.edit_and_retry(dead[0].pk, payload, "operator:1")
    assert DeadLetter.objects.count() == 2
    assert not Correction.objects.exists()
    assert not Action.objects.exists()


def test_what_cannot_be_checked_here_is_not_edited(dead):
    DeadLetter.objects.filter(pk=dead[0].pk).update(name="elsewhere.Happened")
    with pytest.raises(NotInstalled, match=r"elsewhere\.Happened"):
        dead_letters.edit_and_retry(dead[0].pk, {"sku": "b"}, "operator:1")


def test_what_is_no_longer_in_the_log_is_not_edited(dead):
    Event.objects.filter(pk=dead[0].event_id).delete()
    with pytest.raises(NotInLog):
        dead_letters.edit_and_retry(dead[0].pk, {"sku": "b"}, "operator:1")


def test_notes_add_up_and_say_whose_they_are(dead):
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


def test_a_note_has_words(dead):
    with pytest.raises(NeedsReason):
        dead_letters.note(DeadLetterFilter(), " ", "operator:1")


def test_what_came_of_each_letter_is_written_down(dead, ears, calm):
    lost, kept = dead
    Event.objects.filter(pk=lost.event_id).delete()
    dead_letters.retry(DeadLetterFilter(), "operator:1")
    action = Action.objects.get()
    results = dict(Outcome.objects.filter(action=action).values_list("event_id", "result"))
    assert results == {lost.event_id: "not in the log", kept.event_id: "retried"}
    assert (action.processed, action.total) == (2, 2)


def test_how_each_letter_stands_now_is_another_question(dead, ears, calm):
    def now() -> list[str]:
        rows = Outcome.objects.annotate(now=delivery_status()).order_by("pk")
        return list(rows.values_list("now", flat=True))

    dead_letters.retry(DeadLetterFilter(), "operator:1")
    assert now() == ["retrying", "retrying"]
    ears.bad = {"c"}
    calm.settle(trouble=True)
    assert now() == ["handled", "dead letter"]
    dead_letters.discard(DeadLetterFilter(), "tired", "operator:1")
    assert now() == ["handled", "discarded", "discarded"]


def test_every_verb_is_written_down(dead):
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

    def test_they_act_on_what_was_selected_and_report_by_group(self, dead):
        assert "1 retried" in run("retrydeadletters", "--id", str(dead[0].pk), "--yes")
        assert "1 discarded" in run("discarddeadletters", "--reason", "tired", "--yes")
        assert Action.objects.first().actor.startswith("command:retrydeadletters")

    def test_a_note_is_added_to_what_was_selected(self, dead):
        assert "2 noted" in run("notedeadletters", "the bank is away", "--yes")
        for letter in DeadLetter.objects.all():
            assert letter.notes.endswith(": the bank is away")
        with pytest.raises(CommandError, match="is required"):
            run("notedeadletters", " ", "--yes")

    def test_discarding_asks_why(self, dead):
        with pytest.raises(CommandError, match="--reason"):
            run("discarddeadletters", "--yes")
        with pytest.raises(CommandError, match="is required"):
            run("discarddeadletters", "--yes", "--reason", "")


@pytest.mark.django_db
def test_a_letter_that_died_of_an_unknown_consumer_can_wait_for_it(calm: Bus):
    with transaction.atomic():
        id: UUID = publish(ProductRetired(sku="teapot"))
    event = Event.objects.get(pk=id)
    envelope: Envelope = event.envelope()
    dead_letter("orders.later_on", envelope, GiveUp(reason="nobody here"), 1)
    dead_letters.retry(DeadLetterFilter(consumer="orders.later_on"), "operator:1")
    heard: list[str] = []

    def later_on(sku: str) -> None:
        heard.append(sku)

    with listening(make_consumer(later_on)):
        calm.settle()
    assert "teapot" in heard
    assert not Dispatch.objects.exists()
