"""Events that are not handled are shown, and are sent again without a second effect."""

import json
from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.db.models.functions import Now

from eventbus import publish
from eventbus.conf import conf
from eventbus.consuming.delivery import deliver
from eventbus.models import Action, ConsumerHealth, Dispatch, Inbox, Outbox, Retry
from eventbus.operations import pauses, undelivered
from eventbus.operations.undelivered import State, Undelivered
from eventbus.relay.relay import Relay
from eventbus.testing import InMemoryTransport, alone, listening
from infra import clock
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

ME = "operator:1"


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


@pytest.fixture
def received() -> list[str]:
    return []


@pytest.fixture
def relay(db, transport, received) -> Iterator[Relay]:
    def listen(sku: str) -> None:
        if sku == "bad" and "bad" not in received:
            received.append("bad")
            raise ValueError("the first attempt fails")
        received.append(sku)

    with alone("nobody"), listening(make_consumer(listen)):
        yield Relay(transport)


def retire(*skus: str) -> None:
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))


def deliver_all(transport: InMemoryTransport) -> None:
    while transport.messages:
        message = transport.messages.pop(0)
        deliver(message.dispatch, message.consumer, message.events, message.suspect)


def states() -> list[tuple[str, str, int]]:
    found = undelivered.groups(Undelivered())
    return [(str(group.state), group.consumer, group.events) for group in found]


def run(*arguments: object, **options: object) -> str:
    out = StringIO()
    call_command("replayoutbox", *arguments, stdout=out, **options)
    return out.getvalue()


def test_each_event_is_shown_in_the_state_that_it_is_in(relay, transport):
    retire("a", "b")
    assert states() == [("outbox", "", 2)]
    relay.run_once()
    assert states() == [("sent", "orders.listen", 2)]
    Dispatch.objects.update(confirmed_at=None)
    assert states() == [("unconfirmed", "orders.listen", 2)]
    Dispatch.objects.update(claimed_at=None)
    assert states() == [("unsent", "orders.listen", 2)]
    ConsumerHealth.objects.create(consumer="orders.listen", failures=conf().PROBE_AFTER_FAILURES)
    assert states() == [("unhealthy", "orders.listen", 2)]
    pauses.pause("orders", ME, "stocktaking")
    assert states() == [("paused", "orders.listen", 2)]
    pauses.resume("orders", ME)
    deliver_all(transport)
    assert states() == []


def test_every_state_says_what_it_waits_for():
    assert set(undelivered.WAITS_FOR) == set(State)


def test_what_is_sent_again_has_no_second_effect(relay, transport, received):
    retire("a", "b", "c")
    relay.run_once()
    for _ in range(3):
        assert undelivered.send_again(Undelivered(), ME) == {"sent again": 1, "tried now": 0}
        relay.run_once()
    assert len(transport.messages) == 4
    deliver_all(transport)
    assert received == ["a", "b", "c"]
    assert Inbox.objects.filter(consumer="orders.listen").count() == 3
    assert states() == []


def test_a_message_that_comes_after_its_event_was_handled_brings_nothing_back(
    relay, transport, received
):
    retire("a")
    relay.run_once()
    (message,) = transport.messages
    found = list(Dispatch.objects.values_list("pk", flat=True))
    deliver_all(transport)
    assert undelivered.send_rows(found, [], ME, {}) == {"sent again": 0, "tried now": 0}
    relay.run_once()
    assert transport.messages == []
    deliver(message.dispatch, message.consumer, message.events)
    assert received == ["a"]


def test_a_lost_message_is_sent_at_once(relay, transport, received):
    retire("a")
    relay.run_once()
    transport.messages.clear()
    relay.run_once()
    assert transport.messages == []
    run("orders", older_than=0, yes=True)
    relay.run_once()
    deliver_all(transport)
    assert received == ["a"]


def test_a_failed_delivery_is_tried_now(relay, transport, received):
    retire("bad")
    relay.run_once()
    deliver_all(transport)
    Retry.objects.update(next_at=clock.now() + clock.dt.timedelta(hours=1))
    relay.run_once()
    assert transport.messages == []
    assert states() == [("retry", "orders.listen", 1)]
    assert undelivered.send_again(Undelivered(state="retry"), ME)["tried now"] == 1
    relay.run_once()
    deliver_all(transport)
    assert received == ["bad", "bad"]
    assert not Retry.objects.exists()
    assert states() == []


def test_a_delivery_under_way_is_not_tried_a_second_time(relay, transport):
    retire("bad")
    relay.run_once()
    deliver_all(transport)
    Retry.objects.update(next_at=clock.now())
    relay.run_once()
    retry = Retry.objects.get()
    assert retry.next_at is None
    assert undelivered.send_rows([], [retry.pk], ME, {})["tried now"] == 0


def test_a_dry_run_shows_and_changes_nothing(relay, transport):
    retire("a", "b")
    relay.run_once()
    shown = run(older_than=0, dry_run=True)
    assert "2  sent         orders.listen" in shown
    assert "waits for a worker" in shown
    assert "nothing was changed" in shown
    assert not Dispatch.objects.filter(claimed_at=None).exists()
    assert not Action.objects.exists()


def test_what_was_just_sent_is_left_alone(relay):
    retire("a")
    relay.run_once()
    assert "0  events not handled" in run(yes=True)
    assert not Action.objects.exists()
    Dispatch.objects.update(confirmed_at=Now() - clock.dt.timedelta(minutes=2))
    assert "1 sent again" in run(yes=True)


@pytest.mark.parametrize(
    ("options", "events"),
    [
        ({"name": "orders"}, 2),
        ({"name": "orders.listen"}, 2),
        ({"name": "payments"}, 0),
        ({"event": "orders.ProductRetired"}, 2),
        ({"event": "orders.OrderPaid"}, 0),
        ({"state": "sent"}, 2),
        ({"state": "retry"}, 0),
    ],
)
def test_filters_select_by_consumer_context_event_and_state(relay, options, events):
    retire("a", "b")
    relay.run_once()
    assert sum(group.events for group in undelivered.groups(Undelivered(**options))) == events


def test_the_outbox_is_filtered_by_those_who_are_owed_its_events(relay):
    retire("a")
    assert undelivered.groups(Undelivered(name="orders.listen"))
    assert not undelivered.groups(Undelivered(name="payments"))


def test_json_has_each_group_and_sends_only_with_yes(relay):
    retire("a", "b")
    relay.run_once()
    printed = json.loads(run(older_than=0, json=True))
    (group,) = printed["undelivered"]
    assert (group["state"], group["messages"], group["events"]) == ("sent", 1, 2)
    assert printed["result"] is None
    printed = json.loads(run(older_than=0, json=True, yes=True))
    assert printed["result"] == {"sent again": 1, "tried now": 0}


def test_sending_again_leaves_an_audit_record(relay):
    retire("a", "b")
    relay.run_once()
    run("orders", older_than=0, yes=True)
    action = Action.objects.get()
    assert (action.operation, action.processed, action.total) == ("send_again", 1, 1)
    assert action.selection == {"name": "orders"}
    assert action.preview == {"sent orders.listen": 2}
    assert action.result == {"sent again": 1, "tried now": 0}
    assert action.ended_at


def test_a_negative_age_is_refused(db):
    with pytest.raises(CommandError, match="--older-than"):
        run(older_than=-1)


@pytest.mark.parametrize(
    ("page", "action", "said"),
    [
        ("outbox", "wake", "takes these events now"),
        ("dispatch", "send_again", "1 sent again, 0 tried now"),
        ("retry", "try_now", "0 sent again, 1 tried now"),
    ],
)
def test_operators_send_again_in_the_admin(relay, transport, admin_client, page, action, said):
    retire("bad")
    if page != "outbox":
        relay.run_once()
    if page == "retry":
        deliver_all(transport)
    row = {"outbox": Outbox, "dispatch": Dispatch, "retry": Retry}[page].objects.get()
    answer = admin_client.post(
        f"/admin/eventbus/{page}/", {"action": action, "_selected_action": [row.pk]}, follow=True
    )
    assert said in answer.content.decode()
