"""What operators do with letters on the pages, who may see what is in them, and what is noted."""

import json

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from eventbus import failures
from eventbus.models import Action, Correction, DeadLetter, Discarded, Event, Retry
from tests.pages.conftest import visitor

pytestmark = pytest.mark.django_db

LETTERS = "/admin/eventbus/deadletter/"
SECRET = "changed my mind"


@pytest.fixture
def letter(news) -> DeadLetter:
    envelope = news["cancelled"].envelope()
    failures.bury("analytics.count_cancellation", envelope, ValueError("no sense"), 15)
    return DeadLetter.objects.get()


@pytest.fixture
def clerk(db) -> Client:
    """An operator who may look into the bus, and not into what is told."""
    return allowed(visitor(is_staff=True), "view_event", "view_deadletter", "view_discarded")


def allowed(client: Client, *codes: str) -> Client:
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.get(pk=client.session["_auth_user_id"])
    user.user_permissions.add(*Permission.objects.filter(codename__in=codes))
    return client


def act(client: Client, letter: DeadLetter, action: str, **more: str):
    data = {"action": action, "_selected_action": [str(letter.pk)], **more}
    return client.post(LETTERS, data)


def shown(model: type, pk: object) -> str:
    return reverse(f"admin:eventbus_{model._meta.model_name}_change", args=[pk])


def test_payloads_are_hidden_from_those_who_may_not_see_them(clerk, letter):
    for address in (shown(Event, letter.event_id), shown(DeadLetter, letter.pk)):
        answer = clerk.get(address)
        assert answer.status_code == 200
        assert SECRET not in answer.content.decode()
        assert "takes the right to see payloads" in answer.content.decode()
    assert not Action.objects.exists()


def test_looking_at_a_payload_is_written_down(clerk, letter):
    allowed(clerk, "see_payload")
    for address in (shown(Event, letter.event_id), shown(DeadLetter, letter.pk)):
        assert SECRET in clerk.get(address).content.decode()
    looks = list(Action.objects.filter(verb="looked").order_by("pk"))
    assert [look.chosen for look in looks] == [
        {"event": str(letter.event_id)},
        {"deadletter": str(letter.pk)},
    ]
    assert all(look.actor.startswith("operator:") for look in looks)


def test_who_may_only_look_is_offered_no_verb(clerk, letter):
    act(clerk, letter, "retry", sure="1")
    act(clerk, letter, "discard", sure="1", why="tired")
    assert clerk.get(f"{LETTERS}{letter.pk}/mend").status_code == 403
    assert DeadLetter.objects.exists()


def test_retrying_asks_first(chief, letter):
    asked = act(chief, letter, "retry").content.decode()
    assert letter.signature in asked
    assert DeadLetter.objects.exists()

    answer = act(chief, letter, "retry", sure="1")
    assert answer.status_code == 302
    assert Retry.objects.get().event_id == letter.event_id
    assert not DeadLetter.objects.exists()


def test_all_that_match_are_retried_at_once(chief, letter, news):
    other = news["paid"].envelope()
    failures.bury("analytics.count_sale", other, ValueError("no sense"), 15)
    act(chief, letter, "retry", sure="1", select_across="1")
    assert not DeadLetter.objects.exists()
    assert Retry.objects.count() == 2


def test_discarding_asks_why(chief, letter):
    for more in ({}, {"sure": "1"}, {"sure": "1", "why": " "}):
        assert (
            "Why, for those who come after"
            in act(chief, letter, "discard", **more).content.decode()
        )
        assert DeadLetter.objects.exists()
    act(chief, letter, "discard", sure="1", why="nobody wants it")
    assert Discarded.objects.get().action.why == "nobody wants it"
    assert not DeadLetter.objects.exists()


def test_what_was_discarded_is_hidden_too(clerk, chief, letter):
    act(chief, letter, "discard", sure="1", why="nobody wants it")
    address = shown(Discarded, Discarded.objects.get().pk)
    assert SECRET not in clerk.get(address).content.decode()
    assert SECRET in chief.get(address).content.decode()


def test_a_letter_is_mended_after_its_difference_was_shown(chief, letter):
    address = f"{LETTERS}{letter.pk}/mend"
    assert address in chief.get(shown(DeadLetter, letter.pk)).content.decode()
    assert SECRET in chief.get(address).content.decode()
    edited = json.dumps(letter.envelope["data"] | {"reason": "the customer called"})

    looked = chief.post(address, {"payload": edited}).content.decode()
    assert "-  &quot;reason&quot;: &quot;changed my mind&quot;" in looked
    assert "+  &quot;reason&quot;: &quot;the customer called&quot;" in looked
    assert not Correction.objects.exists()

    assert chief.post(address, {"payload": edited, "sure": "1"}).status_code == 302
    assert Correction.objects.get().payload["reason"] == "the customer called"
    assert Retry.objects.get().event_id == letter.event_id


@pytest.mark.parametrize("payload", ["{", "[]", "{}", '{"order_id": 7}'])
def test_what_the_contract_does_not_promise_is_not_sent(chief, letter, payload):
    answer = chief.post(f"{LETTERS}{letter.pk}/mend", {"payload": payload, "sure": "1"})
    assert answer.status_code == 200
    assert "text-red-600" in answer.content.decode()
    assert DeadLetter.objects.exists()
    assert not Correction.objects.exists()
