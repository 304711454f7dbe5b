"""The audit accepts a consistent shop, and finds each inconsistency."""

import json
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from eventbus.models import Inbox, Subscription
from eventbus.operations import pauses
from inventory.models import Movement, Reservation, StockItem
from orders.models import Availability, Order, OrderLine
from payments.models import Payment
from tests.shop import Shop


@pytest.fixture
def shop(calm, settings, tmp_path) -> Shop:
    """A shop with paid, declined and cancelled orders."""
    shop = Shop(calm, settings, tmp_path)
    shop.shelve(teapot=5, cup=1)
    shop.checkout(teapot=2)
    shop.checkout("Budi", teapot=1, card="tok_insufficient_funds")
    shop.checkout("Dewi", cup=2)
    returned = shop.checkout("Agus", teapot=1)
    shop.cancel(returned)
    shop.order("Tini", teapot=1)
    calm.settle()
    return shop


def test_a_consistent_shop_agrees(shop, capsys):
    call_command("audit")
    printed = capsys.readouterr().out
    assert "The books agree." in printed
    assert "wrong" not in printed


def test_on_a_busy_shop_completeness_is_a_figure_as_of_a_moment(shop, capsys):
    shop.order("Sari", teapot=1)
    call_command("audit")
    printed = capsys.readouterr().out
    assert "1 messages are under way" in printed
    owed = Subscription.objects.filter(event="orders.OrderPlaced").count()
    assert f"{owed} pending + 0 lost" in printed


def test_the_audit_is_json_for_a_machine(shop, capsys):
    call_command("audit", "--json")
    printed = json.loads(capsys.readouterr().out)
    total = printed["completeness"]["total"]
    assert total["handled"] == total["owed"] > 0
    assert {finding["violations"] for finding in printed["findings"]} == {0}


def test_the_audit_names_what_is_paused(shop, capsys):
    pauses.pause("analytics", "operator:1", "a count")
    shop.order("Sari", teapot=1)
    call_command("audit")
    assert "analytics is paused: a count\n" in capsys.readouterr().out
    call_command("audit", "--json")
    assert json.loads(capsys.readouterr().out)["paused"] == ["analytics is paused: a count"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda: StockItem.objects.filter(pk="teapot").update(on_hand=9),
            "movements say",
        ),
        (lambda: Movement.objects.filter(kind="sold").delete(), "movements say"),
        (lambda: Reservation.objects.filter(state="reserved").update(goods={}), "1 reserved"),
        (lambda: Availability.objects.filter(pk="teapot").update(available=99), "99 shown"),
        (lambda: OrderLine.objects.update(quantity=F("quantity") + 1), "its lines"),
        (
            lambda: Payment.objects.filter(status="captured").update(amount=1),
            "its payments",
        ),
        (lambda: Payment.objects.update(status="captured"), "its payments"),
        (lambda: Order.objects.filter(status="paid").update(status="cancelled"), "its goods"),
        (lambda: Inbox.objects.filter(consumer="orders.pay_order").delete(), "never handled"),
    ],
)
def test_each_inconsistency_is_found(shop, capsys, spoil: Callable[[], object], words):
    spoil()
    with pytest.raises(CommandError, match="violations"):
        call_command("audit")
    assert words in capsys.readouterr().out
