"""An operator's powers are apart: each opens its own door, on the pages and in the commands."""

import json
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client

from eventbus.models import Action, DeadLetter
from eventbus.operations import permissions
from tests.pages.conftest import DEAD_LETTERS, SECRET, act, allowed, shown, visitor

pytestmark = pytest.mark.django_db
POWERS = [
    permissions.VIEW_PAYLOAD,
    permissions.REPLAY,
    permissions.EDIT_PAYLOAD,
    permissions.DISCARD,
    permissions.NOTE,
    permissions.ARCHIVE,
]


@pytest.fixture
def ayu(db) -> Client:
    """An operator who may look at letters and at what was done."""
    return allowed(visitor(is_staff=True), "eventbus.view_deadletter", "eventbus.view_action")


def open_doors(client: Client, dead_letter: DeadLetter) -> set[str]:
    """Try every door, as far as the question whether one is sure."""
    page = client.get(shown(DeadLetter, dead_letter.pk)).content.decode()
    tried = {
        "see payloads": SECRET in page,
        "retry": asks(client, dead_letter, "retry"),
        "discard": asks(client, dead_letter, "discard"),
        "note": asks(client, dead_letter, "note"),
        "edit": client.get(f"{DEAD_LETTERS}{dead_letter.pk}/edit").status_code == 200,
        "replay": client.get("/admin/eventbus/action/replay/").status_code == 200,
    }
    return {door for door, opened in tried.items() if opened}


def asks(client: Client, dead_letter: DeadLetter, verb: str) -> bool:
    """Whether the page asks if one is sure; a verb one may not use is none, and nothing happens."""
    return b'name="confirmed"' in act(client, dead_letter, verb).content


DOORS = {
    (): set(),
    (permissions.VIEW_PAYLOAD,): {"see payloads"},
    (permissions.REPLAY,): {"retry", "replay"},
    (permissions.DISCARD,): {"discard"},
    (permissions.NOTE,): {"note"},
    (permissions.EDIT_PAYLOAD,): set(),
    (permissions.EDIT_PAYLOAD, permissions.VIEW_PAYLOAD): {"edit", "see payloads"},
}


@pytest.mark.parametrize(("rights", "doors"), DOORS.items())
def test_each_power_opens_its_own_door_and_no_other(ayu, dead_letter, rights, doors):
    assert open_doors(allowed(ayu, *rights), dead_letter) == doors


def test_who_lacks_a_power_cannot_send_the_form_either(ayu, dead_letter):
    for verb in ("retry", "discard", "note"):
        act(ayu, dead_letter, verb, confirmed="1", reason="because")
    edited = {"payload": json.dumps(dead_letter.envelope["data"]), "confirmed": "1"}
    assert ayu.post(f"{DEAD_LETTERS}{dead_letter.pk}/edit", edited).status_code == 403

    assert DeadLetter.objects.get().notes == dead_letter.notes
    assert not Action.objects.exists()


COMMANDS: dict[str, tuple[str, list[str]]] = {
    "retrydeadletters": (permissions.REPLAY, []),
    "discarddeadletters": (permissions.DISCARD, ["--reason", "a test"]),
    "notedeadletters": (permissions.NOTE, ["a note"]),
    "replayevents": (permissions.REPLAY, ["--consumer", "analytics.count_cancellation"]),
    "rebuild": (permissions.REPLAY, ["analytics"]),
    "archiveevents": (permissions.ARCHIVE, ["--older-than", "1", "--to", "nowhere"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_for_an_operator_does_what_the_operator_may(ayu, dead_letter, command: str):
    power, options = COMMANDS[command]
    user: Any = get_user_model().objects.get(pk=ayu.session["_auth_user_id"])
    others = [right for right in POWERS if right != power]

    with pytest.raises(CommandError, match=power):
        call_command(command, *options, "--as", user.email, "--yes")
    allowed(ayu, *others)
    with pytest.raises(CommandError, match=power):
        call_command(command, *options, "--as", user.email, "--yes")
    assert not Action.objects.exists()

    allowed(ayu, power)
    call_command(command, *options, "--as", user.email.upper(), "--dry-run")
    if command in ("retrydeadletters", "discarddeadletters", "notedeadletters"):
        call_command(command, *options, "--as", user.email, "--yes")
        assert {action.actor for action in Action.objects.all()} == {f"operator:{user.pk}"}


@pytest.mark.parametrize("who", [{"is_staff": False}, {"is_active": False, "is_staff": True}])
def test_a_right_without_being_an_active_operator_is_none(dead_letter, who: dict[str, bool]):
    user = get_user_model().objects.create_user("gone@kabar.example", name="Gone", **who)
    user.user_permissions.add(Permission.objects.get(codename="replay_event"))

    for email in (user.email, "nobody@kabar.example"):
        with pytest.raises(CommandError):
            call_command("retrydeadletters", "--as", email, "--yes")
