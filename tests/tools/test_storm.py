"""A short storm, and a verdict that finds what a storm would break."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from eventbus import publish
from eventbus.models import DeadLetter, Event, Inbox
from infra import failpoints
from inventory.models import Movement
from orders.events import ProductRetired
from orders.models import Order
from payments.models import Payment
from tests.shop import Shop
from tools.chaos import checks, duplicates, external_systems, invariants, ledger, progress
from tools.chaos.actors import Actor
from tools.chaos.cluster import Cluster
from tools.chaos.faults import Injector
from tools.chaos.plan import FAILPOINT, NOT_STRUCK, TABLE, everything, plan
from tools.chaos.progress import Progress, Stuck
from tools.ops.audit import Finding

SECONDS = 1800  # a storm gives up by itself, once nothing moves
# What most can go wrong by, and what a minute has time for; seed 2 empties the broker first.
SHORT = (
    "empty broker",
    "kill child",
    "kill relay",
    "failpoint committed-not-acked",
    "failpoint sent-not-confirmed",
)


@pytest.mark.postgres
def test_the_house_stands_a_short_storm(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "manage.py", "storm", "--cycles", str(len(SHORT)), "--seed", "2"]
    command += [word for what in SHORT for word in ("--only", what)]
    done = subprocess.run(
        [*command, "--json", str(report)],
        cwd=settings.BASE_DIR,
        env={**os.environ, "VAR_DIR": str(tmp_path), "DATABASE_URL": "sqlite:///not-used"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert found["stood"]
    hit = {cycle["what"] for cycle in found["cycles"] if cycle["happened"]}
    assert hit >= {"empty broker", "kill child", "kill relay"}
    assert found["counts"]["orders"] > 0


class TestThePlan:
    def test_the_same_seed_is_the_same_plan(self) -> None:
        assert plan(7, 50) == plan(7, 50)
        assert plan(7, 50) != plan(8, 50)

    def test_everything_comes_about_as_often(self) -> None:
        deck = len(everything())
        struck = Counter(strike.what for strike in plan(1, 10 * deck))
        assert struck == Counter(everything() * 10)

    def test_every_failpoint_is_struck_or_it_is_said_why_not(self) -> None:
        named = {FAILPOINT + name for name in failpoints.NAMES}
        assert named <= TABLE.keys() | NOT_STRUCK.keys()
        assert TABLE.keys().isdisjoint(NOT_STRUCK)

    def test_every_strike_has_somebody_who_does_it(self) -> None:
        for what in TABLE:
            kind, _, target = what.partition(" ")
            by_kind = kind == "failpoint" or (kind == "kill" and target != "child")
            assert by_kind or hasattr(Injector, "_" + what.replace(" ", "_")), what

    def test_only_some_can_be_asked_for(self) -> None:
        assert {strike.what for strike in plan(1, 9, ["poison", "kill relay"])} == {
            "poison",
            "kill relay",
        }

    def test_who_asks_for_what_there_is_not_is_told_what_there_is(self) -> None:
        with pytest.raises(CommandError, match=r"hail\. Known: kill relay, "):
            call_command("storm", only=["hail"])

    def test_it_hits_somebody_there_is(self) -> None:
        assert {strike.one_of(["a", "b"]) for strike in plan(1, 50)} == {"a", "b"}


class TestTheHouse:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Cluster]:
        """A house of one who ends by himself, in time."""
        house = Cluster({**os.environ}, tmp_path, tmp_path)
        script = "print('I am done', flush=True); raise SystemExit(3)"
        house.actors["worker"] = Actor("worker", ("-c", script), tmp_path / "worker.log", False)
        house._start(house.actors["worker"])
        yield house
        house.dismiss("worker")

    def test_who_ends_by_himself_is_started_again_and_counted(self, small: Cluster) -> None:
        def twice() -> bool:
            small.tend()
            return len(small.ended) > 1

        small.until(twice, "it has ended twice")
        assert str(small.ended[0]) == "worker ended by itself with 3: I am done"

    def test_who_is_killed_is_started_again_and_not_counted(self, small: Cluster) -> None:
        worker = small.actors["worker"]
        worker.command = ("-c", "import time; time.sleep(60)")
        worker.start(small.env, small.root)
        before = worker.pid
        worker.kill()
        small.tend()
        assert worker.alive
        assert worker.pid != before
        assert small.ended == []

    def test_patience_lasts_as_long_as_there_is_something_new(self, monkeypatch) -> None:
        monkeypatch.setattr(progress, "PATIENCE", 0.2)
        monkeypatch.setattr(progress, "LOOK_EVERY", 0.0)
        sights = iter([*range(20), *[19, 3] * 1000])
        waiting, looks = Progress(lambda: next(sights)), 0
        while not waiting.gone():
            looks += 1
            time.sleep(0.05)
        assert looks > 20

    def test_what_never_comes_is_given_up(self, small: Cluster, monkeypatch) -> None:
        monkeypatch.setattr(progress, "PATIENCE", 0.2)
        with pytest.raises(Stuck, match="until the moon falls; nothing has changed"):
            small.until(lambda: False, "the moon falls", look=lambda: 0)


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
        *(check() for check in (*checks.CHECKS, *invariants.CHECKS)),
        external_systems.bank(moved),
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

    def test_what_is_heard_again_is_excused_by_what_was_in_flight(
        self, whole: Shop, tmp_path: Path
    ) -> None:
        said = [{"event": "duplicate delivery", "events": 2}, {"event": "ready"}]
        (tmp_path / "worker.log").write_text("no JSON\n" + "\n".join(map(json.dumps, said)))
        now = timezone.now().timestamp()
        for hits, against in ([], ["2 too many"]), ([now - 60, now + 60], ["2 too many"]):
            (tmp_path / duplicates.HITS).write_text(json.dumps(hits))
            assert duplicates.few(tmp_path).against == against
        (tmp_path / duplicates.HITS).write_text(json.dumps([now]))
        finding = duplicates.few(tmp_path)
        assert finding.against == []
        assert finding.says.startswith("duplicate deliveries 2 <= ")

    def test_news_still_owed_is_missed(self, whole: Shop) -> None:
        publish(ProductRetired(sku="teapot"))
        Event.objects.filter(name="orders.ProductRetired").update(name="orders.OrderPlaced")
        assert "never handled" in against([checks.lost()])
