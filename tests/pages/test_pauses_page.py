"""The list of pauses: operators with the permission to replay end them."""

import pytest

from eventbus.models import Pause
from eventbus.operations import pauses
from tests.pages.conftest import allowed, visitor


@pytest.mark.parametrize("permitted", [True, False])
def test_an_operator_sees_and_ends_a_pause(db: None, permitted: bool) -> None:
    pauses.pause("orders.mark_reserved", "operator:1", "a count")
    rights = ["view_pause", *(["replay_event"] if permitted else [])]
    client = allowed(visitor(is_staff=True), *rights)

    page = client.get("/admin/eventbus/pause/").content.decode()
    assert "a count" in page
    assert "0 events wait" in page
    data = {"action": "resume", "_selected_action": ["orders.mark_reserved"]}
    client.post("/admin/eventbus/pause/", data)
    assert Pause.objects.exists() != permitted
