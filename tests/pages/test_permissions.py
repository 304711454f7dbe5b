"""Permissions of operators: each allows one operation, on the pages and in the commands."""

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
PERMISSIONS = [
    permissions.VIEW_PAYLOAD,
    permissions.REPLAY,
    permissions.EDIT_PAYLOAD,
    permissions.DISCARD,
    permissions.NOTE,
    permissions.ARCHIVE,
]


@pytest.fixture
def ayu(db) -> Client:
    """An operator with permission to view dead letters and actions."""
    return allowed(visitor(is_staff=True), "eventbus.view_deadletter", "eventbus.view_action")


def allowed_operations(client: Client, dead_letter: DeadLetter) -> set[str]:
    """Try each operation up to its confirmation page; return those that are allowed."""
    page = client.get(shown(DeadLetter, dead_letter.pk)).content.decode()
    tried = {
        "view payloads": SECRET in page,
        "retry": asks_for_confirmation(client, dead_letter, "retry"),
        "discard": asks_for_confirmation(client, dead_letter, "discard"),
        "note": asks_for_confirmation(client, dead_letter, "note"),
        "edit": client.get(f"{DEAD_LETTERS}{dead_letter.pk}/edit").status_code == 200,
        "replay": client.get("/admin/eventbus/action/replay/").status_code == 200,
    }
    return {operation for operation, allowed in tried.items() if allowed}


def asks_for_confirmation(client: Client, dead_letter: DeadLetter, operation: str) -> bool:
    """Return whether the action asks for confirmation: without the permission it does nothing."""
    return b'name="confirmed"' in act(client, dead_letter, operation).content


ALLOWED = {
    (): set(),
    (permissions.VIEW_PAYLOAD,): {"view payloads"},
    (permissions.REPLAY,): {"retry", "replay"},
    (permissions.DISCARD,): {"discard"},
    (permissions.NOTE,): {"note"},
    (permissions.EDIT_PAYLOAD,): set(),
    (permissions.EDIT_PAYLOAD, permissions.VIEW_PAYLOAD): {"edit", "view payloads"},
}


@pytest.mark.parametrize(("granted", "operations"), ALLOWED.items())
def test_each_permission_allows_its_own_operation_only(ayu, dead_letter, granted, operations):
    assert allowed_operations(allowed(ayu, *granted), dead_letter) == operations


def test_a_form_sent_without_the_permission_changes_nothing(ayu, dead_letter):
    for operation in ("retry", "discard", "note"):
        act(ayu, dead_letter, operation, confirmed="1", reason="because")
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
def test_a_command_run_as_an_operator_checks_the_permission(ayu, dead_letter, command: str):
    permission, options = COMMANDS[command]
    user: Any = get_user_model().objects.get(pk=ayu.session["_auth_user_id"])
    others = [other for other in PERMISSIONS if other != permission]

    with pytest.raises(CommandError, match=permission):
        call_command(command, *options, "--as", user.email, "--yes")
    allowed(ayu, *others)
    with pytest.raises(CommandError, match=permission):
        call_command(command, *options, "--as", user.email, "--yes")
    assert not Action.objects.exists()

    allowed(ayu, permission)
    call_command(command, *options, "--as", user.email.upper(), "--dry-run")
    if command in ("retrydeadletters", "discarddeadletters", "notedeadletters"):
        call_command(command, *options, "--as", user.email, "--yes")
        assert {action.actor for action in Action.objects.all()} == {f"operator:{user.pk}"}


@pytest.mark.parametrize("flags", [{"is_staff": False}, {"is_active": False, "is_staff": True}])
def test_a_permission_counts_only_for_an_active_operator(dead_letter, flags: dict[str, bool]):
    user = get_user_model().objects.create_user("former@kabar.example", name="Former", **flags)
    user.user_permissions.add(Permission.objects.get(codename="replay_event"))

    for email in (user.email, "unknown@kabar.example"):
        with pytest.raises(CommandError):
            call_command("retrydeadletters", "--as", email, "--yes")
