"""Admin pages of dead letters: operations, permissions, hidden payloads, audit records."""

import datetime as dt
import json
import re
import threading
import time

import pytest
from django.test import Client

from eventbus.consuming import retries
from eventbus.models import (
    Action,
    Correction,
    DeadLetter,
    DiscardedDeadLetter,
    Dispatch,
    Event,
    Retry,
)
from infra import background, clock
from tests.pages.conftest import DEAD_LETTERS, SECRET, act, allowed, shown, visitor

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer(db) -> Client:
    """An operator with permission to view the bus, but no payloads."""
    return allowed(visitor(is_staff=True), "view_event", "view_deadletter", "view_discarded")


def test_payloads_are_hidden_without_the_permission(viewer, dead_letter):
    for address in (shown(Event, dead_letter.event_id), shown(DeadLetter, dead_letter.pk)):
        answer = viewer.get(address)
        assert answer.status_code == 200
        assert SECRET not in answer.content.decode()
        assert "takes the permission to view payloads" in answer.content.decode()
    assert not Action.objects.exists()


def test_errors_are_hidden_without_the_permission_to_view_payloads(viewer, dead_letter, news):
    quoting = ValueError(f"no sense in\n{SECRET}")
    retries.record_failure("orders.listen", news["cancelled"].envelope(), quoting)
    DeadLetter.objects.update(error=retries.format_error(quoting))
    retry = Retry.objects.get()
    allowed(viewer, "view_retry")
    addresses = [shown(Event, dead_letter.event_id), shown(DeadLetter, dead_letter.pk)]
    addresses += [shown(Retry, retry.pk), DEAD_LETTERS, "/admin/eventbus/retry/"]
    for address in addresses:
        answer = viewer.get(address).content.decode()
        assert "ValueError in" in answer
        assert SECRET not in answer

    allowed(viewer, "view_payload")
    assert all(SECRET in viewer.get(address).content.decode() for address in addresses[:3])
    assert Action.objects.filter(operation="view").count() == 3


@pytest.mark.parametrize(
    "guess", ["deadletter/?error__contains=", "event/?payload__reason__startswith="]
)
def test_a_payload_cannot_be_guessed_with_lookups(viewer, dead_letter, guess):
    assert viewer.get(f"/admin/eventbus/{guess}{SECRET[0]}").status_code == 400


def test_each_view_of_a_payload_is_recorded(viewer, dead_letter):
    allowed(viewer, "view_payload")
    for address in (shown(Event, dead_letter.event_id), shown(DeadLetter, dead_letter.pk)):
        assert SECRET in viewer.get(address).content.decode()
    views = list(Action.objects.filter(operation="view").order_by("pk"))
    assert [view.selection for view in views] == [
        {"event": str(dead_letter.event_id)},
        {"dead letter": str(dead_letter.pk)},
    ]
    assert all(view.actor.startswith("operator:") for view in views)


def test_an_operator_who_may_only_view_cannot_change_anything(viewer, dead_letter):
    act(viewer, dead_letter, "retry", confirmed="1")
    act(viewer, dead_letter, "discard", confirmed="1", reason="a test")
    assert viewer.get(f"{DEAD_LETTERS}{dead_letter.pk}/edit").status_code == 403
    assert DeadLetter.objects.exists()


def test_a_retry_asks_for_confirmation(superuser, dead_letter):
    asked = act(superuser, dead_letter, "retry").content.decode()
    assert dead_letter.signature in asked
    assert DeadLetter.objects.exists()

    answer = act(superuser, dead_letter, "retry", confirmed="1")
    assert answer.status_code == 302
    assert Retry.objects.get().event_id == dead_letter.event_id
    assert not DeadLetter.objects.exists()


def test_all_that_match_are_retried_together(superuser, dead_letter, news):
    other = news["paid"].envelope()
    retries.dead_letter("analytics.count_sale", other, ValueError("no sense"), 15)
    act(superuser, dead_letter, "retry", confirmed="1", select_across="1")
    assert not DeadLetter.objects.exists()
    assert Retry.objects.count() == 2
    assert Action.objects.get().selection == {}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("consumer=analytics.count_sale", {"consumer": "analytics.count_sale"}),
        ("name=orders.OrderPaid&p=1", {"name": "orders.OrderPaid"}),
        ("q=KeyError", {"signature": "KeyError"}),
        ("died_at__gte=2021-01-01 00:00:00%2B00:00", {"since": "2021-01-01T00:00:00.000000Z"}),
        ("died_at__gte=2021-01-01T00Z&died_at__lt=2099-01-01T00Z", {"since": ..., "until": ...}),
    ],
)
def test_all_that_match_are_what_the_list_shows_and_nothing_else(
    superuser, dead_letter, news, asked, expected
):
    DeadLetter.objects.update(died_at="2020-01-01T00:00:00Z")
    for name in ("paid", "captured"):
        other = news[name].envelope()
        retries.dead_letter("analytics.count_sale", other, KeyError("no sense"), 15)
    DeadLetter.objects.filter(name="payments.PaymentCaptured").update(name="orders.OrderPaid")
    address = f"{DEAD_LETTERS}?{asked}"
    selected = {"action": "retry", "_selected_action": [dead_letter.pk], "select_across": "1"}
    shown = superuser.get(address).content.decode()
    assert "KeyError" in shown
    assert "ValueError" not in shown.partition("result_list")[2]
    assert "Retry 2" in superuser.post(address, selected).content.decode()

    superuser.post(address, selected | {"confirmed": "1"})
    assert DeadLetter.objects.get() == dead_letter
    recorded = Action.objects.get().selection
    assert recorded.keys() == expected.keys()
    assert all(recorded[key] == value for key, value in expected.items() if value is not ...)


@pytest.mark.parametrize("lookup", ["attempts__gt=1", "consumer__isnull=1", "id=7"])
def test_a_lookup_that_the_filter_lacks_is_refused(superuser, dead_letter, lookup):
    selected = {"action": "retry", "_selected_action": [dead_letter.pk], "select_across": "1"}
    assert (
        superuser.post(f"{DEAD_LETTERS}?{lookup}", selected | {"confirmed": "1"}).status_code == 400
    )
    assert DeadLetter.objects.exists()


def test_a_note_is_added_from_the_page_of_a_dead_letter(superuser, viewer, dead_letter):
    assert 'value="note"' in superuser.get(shown(DeadLetter, dead_letter.pk)).content.decode()
    assert 'value="note"' not in viewer.get(shown(DeadLetter, dead_letter.pk)).content.decode()
    act(superuser, dead_letter, "note", confirmed="1", reason="asked the bank")
    assert "asked the bank" in superuser.get(shown(DeadLetter, dead_letter.pk)).content.decode()
    assert Action.objects.get(operation="note").reason == "asked the bank"


def test_an_action_links_to_its_outcomes(superuser, dead_letter):
    act(superuser, dead_letter, "retry", confirmed="1")
    action = Action.objects.get()
    page = superuser.get(shown(Action, action.pk)).content.decode()
    assert "1 of 1, completed" in page
    listed = f"/admin/eventbus/outcome/?action__id__exact={action.pk}"
    assert listed in page
    rows = superuser.get(listed).content.decode()
    assert dead_letter.consumer in rows
    assert "retried" in rows
    assert "retrying" in rows


def test_a_running_action_shows_its_progress(superuser, db):
    running = Action.objects.create(
        operation="retry", actor="operator:1", total=6000, processed=1500
    )
    answer = superuser.get(shown(Action, running.pk))
    assert "1,500 of 6,000, running" in answer.content.decode()
    assert answer["Refresh"] == "2"

    Action.objects.update(last_progress_at=clock.now() - dt.timedelta(minutes=2))
    answer = superuser.get(shown(Action, running.pk))
    assert "1,500 of 6,000, interrupted" in answer.content.decode()
    assert "Refresh" not in answer


def join_operation() -> None:
    for thread in threading.enumerate():
        if thread.name == background.THREAD_NAME:
            thread.join(10)


@pytest.mark.django_db(transaction=True)
class TestALongOperation:
    def test_it_continues_after_the_page_has_answered(self, superuser, dead_letter, monkeypatch):
        monkeypatch.setattr(background, "WAIT_SECONDS", 0.0)
        answer = act(superuser, dead_letter, "retry", confirmed="1")
        assert answer["Location"] == "/admin/eventbus/action/"
        join_operation()
        assert Retry.objects.get().event_id == dead_letter.event_id
        assert Action.objects.get().ended_at

    def test_its_action_shows_the_progress(self, superuser, news, monkeypatch):
        monkeypatch.setattr(background, "WAIT_SECONDS", 0.0)
        asked = {"consumer": "analytics.count_order", "rate": "0.5", "confirmed": "1"}
        superuser.post("/admin/eventbus/action/replay/", asked)
        deadline = time.monotonic() + 10
        while not (action := Action.objects.filter(processed=1).first()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert "1 of 2, running" in superuser.get(shown(Action, action.pk)).content.decode()
        join_operation()
        assert "2 of 2, completed" in superuser.get(shown(Action, action.pk)).content.decode()

    def test_a_short_operation_is_reported_in_the_answer(self, superuser, dead_letter):
        answer = act(superuser, dead_letter, "retry", confirmed="1")
        assert answer["Location"] == DEAD_LETTERS
        assert not DeadLetter.objects.exists()


class TestReplaying:
    PAGE = "/admin/eventbus/action/replay/"
    ASKED = {"consumer": "analytics.count_sale", "name": "orders.OrderPaid", "rate": "0"}

    @pytest.fixture
    def paid(self, news):
        return news["paid"]

    def test_it_shows_a_preview_first(self, superuser, paid):
        assert "analytics.count_sale" in superuser.get(self.PAGE).content.decode()
        page = superuser.post(self.PAGE, self.ASKED).content.decode()
        assert re.search(r">1</td><td>to deliver", page)
        assert not Dispatch.objects.filter(replayed=True).exists()
        assert not Action.objects.exists()

    def test_then_it_replays(self, superuser, paid):
        asked = self.ASKED | {"since": "2020-01-01", "until": "2099-12-31 10:00"}
        answer = superuser.post(self.PAGE, asked | {"confirmed": "1"})
        assert answer["Location"] == "/admin/eventbus/action/"
        dispatch = Dispatch.objects.get(replayed=True)
        assert (dispatch.consumer, dispatch.event_ids) == ("analytics.count_sale", [str(paid.pk)])
        action = Action.objects.get()
        assert action.selection["since"] == "2020-01-01T00:00:00.000000Z"
        assert (action.operation, action.result) == ("replay", {"queued": 1})

    @pytest.mark.parametrize(
        ("asked", "complaint"),
        [
            ({"name": "orders.OrderPlaced"}, "it does not subscribe"),
            ({"since": "yesterday"}, "valid date"),
            ({"rate": "-1"}, "greater than or equal"),
            ({"consumer": "payments.capture_payment"}, "not one of the available choices"),
            ({"aggregate": "x" * 2, "consumer": ""}, "required"),
        ],
    )
    def test_a_refusal_is_a_sentence(self, superuser, paid, asked, complaint):
        page = superuser.post(self.PAGE, self.ASKED | asked | {"confirmed": "1"})
        assert complaint in page.content.decode()
        assert not Action.objects.exists()

    def test_it_requires_the_permission(self, viewer, paid):
        allowed(viewer, "view_action")
        assert viewer.get(self.PAGE).status_code == 403
        assert viewer.post(self.PAGE, self.ASKED | {"confirmed": "1"}).status_code == 403
        assert not Action.objects.exists()
        allowed(viewer, "replay_event")
        assert viewer.get(self.PAGE).status_code == 200


def test_discarding_requires_a_reason(superuser, dead_letter):
    for more in ({}, {"confirmed": "1"}, {"confirmed": "1", "reason": " "}):
        assert ">Reason</label>" in act(superuser, dead_letter, "discard", **more).content.decode()
        assert DeadLetter.objects.exists()
    act(superuser, dead_letter, "discard", confirmed="1", reason="not needed")
    assert DiscardedDeadLetter.objects.get().action.reason == "not needed"
    assert not DeadLetter.objects.exists()


def test_the_payload_of_a_discarded_dead_letter_is_hidden_too(viewer, superuser, dead_letter):
    act(superuser, dead_letter, "discard", confirmed="1", reason="not needed")
    address = shown(DiscardedDeadLetter, DiscardedDeadLetter.objects.get().pk)
    assert SECRET not in viewer.get(address).content.decode()
    assert SECRET in superuser.get(address).content.decode()


def test_a_payload_is_edited_after_its_changes_were_shown(superuser, dead_letter):
    address = f"{DEAD_LETTERS}{dead_letter.pk}/edit"
    assert address in superuser.get(shown(DeadLetter, dead_letter.pk)).content.decode()
    assert SECRET in superuser.get(address).content.decode()
    edited = json.dumps(dead_letter.envelope["data"] | {"reason": "the customer called"})

    page = superuser.post(address, {"payload": edited}).content.decode()
    assert "-  &quot;reason&quot;: &quot;changed my mind&quot;" in page
    assert "+  &quot;reason&quot;: &quot;the customer called&quot;" in page
    assert not Correction.objects.exists()

    assert superuser.post(address, {"payload": edited, "confirmed": "1"}).status_code == 302
    assert Correction.objects.get().payload["reason"] == "the customer called"
    assert Retry.objects.get().event_id == dead_letter.event_id


@pytest.mark.parametrize("payload", ["{", "[]", "{}", '{"order_id": 7}'])
def test_a_payload_that_breaks_the_contract_is_refused(superuser, dead_letter, payload):
    answer = superuser.post(
        f"{DEAD_LETTERS}{dead_letter.pk}/edit", {"payload": payload, "confirmed": "1"}
    )
    assert answer.status_code == 200
    assert "text-red-600" in answer.content.decode()
    assert DeadLetter.objects.exists()
    assert not Correction.objects.exists()
