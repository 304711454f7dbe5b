"""A short storm, and a verdict that finds what a storm would break."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from eventbus import failpoints, publish
from eventbus.models import DeadLetter, Event, Inbox
from inventory.models import Movement
from orders.events import ProductRetired
from orders.models import Order
from payments.models import Payment
from tests.shop import Shop
from tools.audit import Finding
from tools.storm import checks, folds, ledger, outside
from tools.storm.plan import DECK, everything, plan

SECONDS = 600


@pytest.mark.postgres
@pytest.mark.skipif(
    not os.environ.get("KABAR_STORM"), reason="a storm takes minutes: make storm, or KABAR_STORM=1"
)
def test_the_house_stands_a_short_storm(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "manage.py", "storm", "--cycles", "6", "--seed", "2"]
    done = subprocess.run(
        [*command, "--json", str(report)],
        cwd=settings.BASE_DIR,
        env={**os.environ, "VAR_DIR": str(tmp_path), "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert found["stood"]
    assert len(found["cycles"]) == 6
    assert found["counts"]["orders"] > 0


class TestThePlan:
    def test_the_same_seed_is_the_same_plan(self) -> None:
        assert plan(7, 50) == plan(7, 50)
        assert plan(7, 50) != plan(8, 50)

    def test_everything_comes_about_as_often(self) -> None:
        deck = len(everything())
        struck = Counter(strike.what for strike in plan(1, 10 * deck))
        assert struck == Counter(everything() * 10)
        assert struck.keys() >= {*DECK, *(f"failpoint {name}" for name in failpoints.NAMES)}

    def test_it_hits_somebody_there_is(self) -> None:
        assert {strike.one_of(["a", "b"]) for strike in plan(1, 50)} == {"a", "b"}


def test_a_line_cut_short_was_not_acknowledged(tmp_path: Path) -> None:
    book = ledger.Ledger(tmp_path / "acknowledged-1")
    book.note("placed", "one")
    with (tmp_path / "acknowledged-1").open("a") as file:
        file.write("placed tw")
    assert ledger.read(tmp_path) == [("placed", "one")]


@pytest.fixture
def whole(calm, settings, tmp_path) -> Shop:
    """A shop where things have happened."""
    shop = Shop(calm, settings, tmp_path)
    shop.shelve(teapot=9)
    shop.checkout(teapot=2)
    shop.checkout("Budi", teapot=1, card="tok_insufficient_funds")
    shop.cancel(shop.checkout("Agus", teapot=1))
    calm.settle()
    return shop


def verdict(shop: Shop) -> list[Finding]:
    promises = [("placed", str(order.pk)) for order in Order.objects.all()]
    promises += [("paying", str(payment.pk)) for payment in Payment.objects.all()]
    moved = [{name: str(value) for name, value in vars(m).items()} for m in shop.bank.ledger]
    return [
        checks.promised(promises),
        *(check() for check in (*checks.CHECKS, *folds.CHECKS)),
        outside.bank(moved),
    ]


def against(findings: list[Finding]) -> str:
    return "\n".join(line for finding in findings for line in finding.against)


def once_more() -> None:
    row = Movement.objects.filter(kind="sold").latest("id")
    row.pk = None
    row.save()


def tell_of_nothing() -> None:
    event = Event.objects.filter(name="orders.OrderPaid").latest("position")
    Event.objects.filter(pk=event.pk).update(aggregate="order:01a1f8f0-0d1f-70ef-9790-fa9a3e48375b")


def handle_what_was_not_said() -> None:
    stray = Inbox.objects.filter(consumer="orders.pay_order").latest("handled_at")
    values = {"generation": 0, "handled_at": stray.handled_at}
    Inbox.objects.create(
        consumer="orders.pay_order", event_id="01a1f8f0-0d1f-70ef-9790-fa9a3e48375b", **values
    )


def bury_one() -> None:
    event = Event.objects.latest("position")
    DeadLetter.objects.create(
        consumer="orders.listen",
        event_id=event.pk,
        name=event.name,
        envelope={},
        signature="orders.listen ValueError in listen",
        error="no",
        died_at=event.recorded_at,
    )


@pytest.mark.postgres
class TestTheVerdict:
    def test_a_whole_shop_has_nothing_against_it(self, whole: Shop) -> None:
        findings = verdict(whole)
        assert against(findings) == ""
        assert sum(not finding.looked_at for finding in findings) == 1, "only the dead are none"

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda: Inbox.objects.filter(consumer="orders.pay_order").delete(), "never handled"),
            (lambda: Event.objects.filter(name="orders.OrderPlaced").delete(), "no orders.Order"),
            (lambda: Payment.objects.filter(status="captured").delete(), "lost: paying"),
            (lambda: Payment.objects.filter(status="declined").update(status="captured"), "bank"),
            (lambda: Order.objects.filter(status="paid").update(status="reserved"), "told paid"),
            (lambda: Event.objects.update(aggregate_version=1), "version 1 again"),
            (once_more, "twice by"),
            (tell_of_nothing, "orders.OrderPaid of order:01a1f8f0"),
            (handle_what_was_not_said, "pay_order handled 01a1f8f0"),
            (bury_one, "ValueError"),
        ],
    )
    def test_what_a_storm_would_break_is_found(
        self, whole: Shop, spoil: Callable[[], object], words: str
    ) -> None:
        lost = [("paying", str(payment.pk)) for payment in Payment.objects.all()]
        lost += [("placed", str(order.pk)) for order in Order.objects.all()]
        spoil()
        findings = [checks.promised(lost), *verdict(whole)]
        assert words in against(findings)

    def test_news_still_owed_is_missed(self, whole: Shop) -> None:
        publish(ProductRetired(sku="teapot"))
        Event.objects.filter(name="orders.ProductRetired").update(name="orders.OrderPlaced")
        assert "never handled" in against([checks.lost()])
