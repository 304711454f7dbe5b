"""Admin pages of the log and of the bus: read-only, with causation trees."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse

from eventbus.consuming import inbox, retries
from eventbus.models import DeadLetter, Event, Retry
from eventbus.relay import subscriptions
from tests.pages.conftest import ORDER, placed, publish_event

pytestmark = pytest.mark.django_db

LISTED = [
    model for model in admin.site._registry if model._meta.app_label in ("eventbus", "analytics")
]
LOG = "/admin/eventbus/event/"


def page(model, name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def listed(answer) -> list[tuple[int, str]]:
    """Return depth and event name of each row of the list."""
    cells = re.findall(r'padding-left: ([\d.]+)rem; white-space: nowrap">(└ )?([\w.]+)<', answer)
    return [(round(float(left) / 1.25) + bool(branch), name) for left, branch, name in cells]


def label(model) -> str:
    return model._meta.label


def test_every_table_of_the_bus_is_listed():
    missing = set(apps.get_app_config("eventbus").get_models()) - set(LISTED)
    assert [model.__name__ for model in missing] == ["Inbox"]  # it is shown with its event


@pytest.mark.parametrize("model", LISTED, ids=label)
def test_only_operators_see_the_pages(model, anonymous, customer):
    for client in (anonymous, customer):
        answer = client.get(page(model, "changelist"))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("model", LISTED, ids=label)
def test_an_operator_needs_permission_to_view_the_bus(model, operator):
    allowed = model._meta.app_label == "analytics"
    assert operator.get(page(model, "changelist")).status_code == (200 if allowed else 403)


@pytest.mark.parametrize("model", LISTED, ids=label)
def test_not_even_a_superuser_changes_anything(model, superuser, news):
    assert superuser.get(page(model, "changelist")).status_code == 200
    assert superuser.get(page(model, "add")).status_code == 403
    assert superuser.post(page(model, "add"), {}).status_code == 403
    act = {"action": "delete_selected", "_selected_action": [str(row.pk) for row in news.values()]}
    superuser.post(page(model, "changelist"), act | {"post": "yes"})
    assert Event.objects.count() == len(news)


def test_an_event_is_not_changed_nor_deleted(superuser, news):
    before = Event.objects.values().get(pk=news["placed"].pk)
    for name in ("change", "delete"):
        address = page(Event, name, news["placed"].pk)
        assert superuser.post(address, {"name": "orders.Forged", "post": "yes"}).status_code == 403
    assert Event.objects.values().get(pk=news["placed"].pk) == before


def test_the_log_of_an_order_is_a_causation_tree(superuser, news):
    # when
    answer = superuser.get(f"{LOG}?aggregate=order:{ORDER}").content.decode()

    # then: also what led to its events, about whatever it is; and nothing of other orders
    assert listed(answer) == [
        (0, "orders.OrderPlaced"),
        (1, "inventory.StockReserved"),
        (0, "payments.PaymentCaptured"),
        (1, "orders.OrderPaid"),
        (0, "orders.OrderCancelled"),
    ]


def test_the_log_of_a_request_is_a_causation_tree(superuser, news):
    answer = superuser.get(f"{LOG}?correlation={news['paid'].correlation}").content.decode()
    assert listed(answer) == [(0, "payments.PaymentCaptured"), (1, "orders.OrderPaid")]


def test_the_unfiltered_log_is_listed_newest_first(superuser, news):
    names = [name for _, name in listed(superuser.get(LOG).content.decode())]
    assert names == [event.name for event in Event.objects.order_by("-position")]


@pytest.mark.parametrize("asked", ["correlation=nonsense", "aggregate=order:none"])
def test_an_unknown_filter_value_lists_nothing(superuser, news, asked):
    answer = superuser.get(f"{LOG}?{asked}")
    assert answer.status_code == 200
    assert listed(answer.content.decode()) == []


def test_the_log_is_searched_by_name_aggregate_and_id(superuser, news):
    def found(term: object) -> list[str]:
        answer = superuser.get(LOG, {"q": str(term)}).content.decode()
        return sorted(name for _, name in listed(answer))

    assert found("cancelled") == ["orders.OrderCancelled"]
    assert found(ORDER) == found(f"order:{ORDER}")
    assert len(found(ORDER)) == 4
    assert found(news["captured"].pk) == ["payments.PaymentCaptured"]
    assert len(found(news["placed"].correlation)) == 2
    assert found("nonsense") == []


def test_the_log_is_filtered_by_event(superuser, news):
    answer = superuser.get(f"{LOG}?name=orders.OrderPaid").content.decode()
    assert listed(answer) == [(0, "orders.OrderPaid")]


def test_an_event_shows_its_payload_deliveries_and_causation_tree(superuser):
    # given
    subscriptions.sync()
    event = publish_event(placed())
    inbox.mark_handled("inventory.reserve_stock", [event.pk], [])
    retries.record_failure("payments.expect_payment", event.envelope(), ConnectionError("no bank"))
    retries.dead_letter("analytics.count_order", event.envelope(), ValueError("no sense"), 15)

    # when
    answer = superuser.get(page(Event, "change", event.pk)).content.decode()

    # then
    assert "&quot;sku&quot;: &quot;teapot&quot;" in answer
    assert "Teapot &lt;b&gt;" in answer
    states = dict(
        re.findall(r'important">([\w.]+)</td>\s*<td><span class="status [\w-]+">([\w ]+)<', answer)
    )
    assert states["inventory.reserve_stock"] == "handled"
    assert states["payments.expect_payment"] == "retrying"
    assert states["analytics.count_order"] == "dead letter"
    assert "pending" in states.values()
    assert "ConnectionError: no bank" in answer
    assert page(Retry, "change", Retry.objects.get().pk) in answer
    assert page(DeadLetter, "change", DeadLetter.objects.get().pk) in answer


def test_an_event_is_highlighted_in_its_causation_tree(superuser, news):
    answer = superuser.get(page(Event, "change", news["held"].pk)).content.decode()
    tree = answer[answer.index("Causation tree") :]
    here = tree[tree.index('aria-current="true"') :].partition("</li>")[0]
    assert "inventory.StockReserved" in here
    assert page(Event, "change", news["placed"].pk) in tree
    assert "orders.OrderPaid" not in tree


def test_failures_show_their_error_and_link_to_their_event(superuser, news):
    # given
    envelope = news["placed"].envelope()
    retries.record_failure("payments.expect_payment", envelope, ConnectionError("no <bank>"))
    retries.dead_letter("analytics.count_order", envelope, ValueError("no sense"), 15)

    # when
    for model, kind, error in (
        (Retry, "ConnectionError in", "no &lt;bank&gt;"),
        (DeadLetter, "ValueError in", "no sense"),
    ):
        listed = superuser.get(page(model, "changelist")).content.decode()
        shown = superuser.get(page(model, "change", model.objects.get().pk)).content.decode()

        # then
        assert error in shown
        for answer in (listed, shown):
            assert kind in answer
            assert page(Event, "change", news["placed"].pk) in answer
