"""A short chaos test, and checks that find each kind of damage."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

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
from tools.chaos import (
    acknowledgements,
    delivery_checks,
    duplicates,
    external_systems,
    invariants,
    progress,
)
from tools.chaos.cluster import Cluster
from tools.chaos.faults import Injector, method_of
from tools.chaos.plan import DECKS, EXCLUDED, FAILPOINT, FAULTS, NOT_INJECTED, deck, plan
from tools.chaos.processes import ManagedProcess
from tools.chaos.progress import Progress, Stuck
from tools.ops.audit import Finding

SECONDS = 1800  # the test gives up by itself once there is no progress
# The faults most likely to do damage, for about a minute; seed 2 empties the broker first.
SHORT = (
    "empty broker",
    "kill child",
    "kill relay",
    "failpoint committed-not-acked",
    "failpoint sent-not-confirmed",
)


@pytest.mark.postgres
def test_nothing_is_lost_in_a_short_chaos_test(tmp_path: Path) -> None:
    found = run_short(SHORT, tmp_path, "--seed", "2")
    hit = {cycle["fault"] for cycle in found["cycles"] if cycle["happened"]}
    assert hit >= {"empty broker", "kill child", "kill relay"}


def run_short(faults: Sequence[str], tmp_path: Path, *options: str) -> dict[str, Any]:
    """Run a chaos test with each fault once, and return its report."""
    report = tmp_path / "report.json"
    command = [sys.executable, "manage.py", "chaostest", "--cycles", str(len(faults)), *options]
    command += [word for fault in faults for word in ("--only", fault)]
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
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["passed"]
    assert found["counts"]["orders"] > 0
    return found


# Killed in the midst of all that it does, its database without space for a while.
SHORT_EMBEDDED = ("full disk", "kill shop", "misbehave abort")


def test_nothing_is_lost_in_a_short_chaos_test_of_one_process(tmp_path: Path) -> None:
    found = run_short(SHORT_EMBEDDED, tmp_path, "--mode", "embedded", "--seed", "3")
    missed = {cycle["fault"] for cycle in found["cycles"] if not cycle["happened"]}
    assert missed <= {"full disk"}, "only this one needs a right, that to mount"


class TestThePlan:
    def test_the_same_seed_is_the_same_plan(self) -> None:
        assert plan(7, 50, "valkey") == plan(7, 50, "valkey")
        assert plan(7, 50, "valkey") != plan(8, 50, "valkey")

    @pytest.mark.parametrize("setup", DECKS)
    def test_each_fault_comes_as_often_as_its_share_of_the_deck(self, setup: str) -> None:
        faults = Counter(fault.name for fault in plan(1, 10 * len(deck(setup)), setup))
        assert faults == Counter(deck(setup) * 10)

    @pytest.mark.parametrize("setup", DECKS)
    def test_a_fault_of_a_setup_is_injected_or_has_a_reason(self, setup: str) -> None:
        assert set(deck(setup)) | set(NOT_INJECTED.get(setup, {})) == set(DECKS[setup])
        assert set(DECKS[setup]) <= set(FAULTS)

    def test_every_failpoint_is_a_fault_or_excluded_with_a_reason(self) -> None:
        named = {FAILPOINT + name for name in failpoints.NAMES}
        assert named <= FAULTS.keys() | EXCLUDED.keys()
        assert FAULTS.keys().isdisjoint(EXCLUDED)

    def test_the_injector_has_every_fault(self) -> None:
        for fault in FAULTS:
            kind, _, target = fault.partition(" ")
            by_kind = kind in ("failpoint", "misbehave", "poison") or (
                kind == "kill" and target != "child"
            )
            assert by_kind or hasattr(Injector, method_of(fault)), fault

    def test_a_plan_can_be_limited_to_some_faults(self) -> None:
        assert {fault.name for fault in plan(1, 9, "valkey", ["poison", "kill relay"])} == {
            "poison",
            "kill relay",
        }

    def test_an_unknown_fault_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(CommandError, match=r"hail\. Known: kill relay, "):
            call_command("chaostest", only=["hail"])

    def test_one_process_has_no_fault_of_workers(self) -> None:
        with pytest.raises(CommandError, match=r"kill worker\. Known: kill shop, "):
            call_command("chaostest", mode="embedded", only=["kill worker"])

    def test_faults_select_all_targets(self) -> None:
        assert {fault.one_of(["a", "b"]) for fault in plan(1, 50, "valkey")} == {"a", "b"}


class TestTheCluster:
    @pytest.fixture
    def small(self, tmp_path: Path) -> Iterator[Cluster]:
        """A cluster of one process, which ends by itself."""
        cluster = Cluster({**os.environ}, tmp_path, tmp_path)
        script = "print('I am done', flush=True); raise SystemExit(3)"
        cluster.processes["worker"] = ManagedProcess(
            "worker", ("-c", script), tmp_path / "worker.log", False
        )
        cluster._start(cluster.processes["worker"])
        yield cluster
        cluster.stop("worker")

    def test_a_process_that_ends_by_itself_is_restarted_and_counted(self, small: Cluster) -> None:
        def twice() -> bool:
            small.restart_dead()
            return len(small.unexpected_exits) > 1

        small.wait_until(twice, "it has ended twice")
        assert str(small.unexpected_exits[0]) == "worker ended by itself with 3: I am done"

    def test_a_killed_process_is_restarted_and_not_counted(self, small: Cluster) -> None:
        worker = small.processes["worker"]
        worker.command = ("-c", "import time; time.sleep(60)")
        worker.start(small.env, small.root)
        before = worker.pid
        worker.kill()
        small.restart_dead()
        assert worker.alive
        assert worker.pid != before
        assert small.unexpected_exits == []

    def test_waiting_goes_on_as_long_as_there_are_new_values(self, monkeypatch) -> None:
        monkeypatch.setattr(progress, "STALL_TIMEOUT", 0.2)
        monkeypatch.setattr(progress, "POLL_INTERVAL", 0.0)
        values = iter([*range(20), *[19, 3] * 1000])
        waiting, observed = Progress(lambda: next(values)), 0
        while not waiting.stalled():
            observed += 1
            time.sleep(0.05)
        assert observed > 20

    def test_waiting_ends_without_progress(self, small: Cluster, monkeypatch) -> None:
        monkeypatch.setattr(progress, "STALL_TIMEOUT", 0.2)
        with pytest.raises(Stuck, match="until the moon falls; nothing has changed"):
            small.wait_until(lambda: False, "the moon falls", observe=lambda: 0)


def test_an_incomplete_line_was_not_acknowledged(tmp_path: Path) -> None:
    log = acknowledgements.AcknowledgementLog(tmp_path / "acknowledged-1")
    log.record("placed", "one")
    with (tmp_path / "acknowledged-1").open("a") as file:
        file.write("placed tw")
    assert acknowledgements.read(tmp_path) == [("placed", "one")]


@pytest.fixture
def shop(calm, settings, tmp_path) -> Shop:
    """A shop with paid, declined and cancelled orders."""
    shop = Shop(calm, settings, tmp_path)
    shop.shelve(teapot=9)
    shop.checkout(teapot=2)
    shop.checkout("Budi", teapot=1, card="tok_insufficient_funds")
    shop.cancel(shop.checkout("Agus", teapot=1))
    calm.settle()
    return shop


def run_checks(shop: Shop) -> list[Finding]:
    writes = [("placed", str(order.pk)) for order in Order.objects.all()]
    writes += [("paying", str(payment.pk)) for payment in Payment.objects.all()]
    moved = [{name: str(value) for name, value in vars(m).items()} for m in shop.bank.ledger]
    return [
        delivery_checks.acknowledged(writes),
        *(check() for check in (*delivery_checks.CHECKS, *invariants.CHECKS)),
        external_systems.bank(moved),
    ]


def violations(findings: list[Finding]) -> str:
    return "\n".join(line for finding in findings for line in finding.violations)


def duplicate_movement() -> None:
    row = Movement.objects.filter(kind="sold").latest("id")
    row.pk = None
    row.save()


def do_work_twice() -> None:
    ids = Event.objects.order_by("position").values_list("pk", flat=True)[:3]
    for id, name in zip(ids, ("FlakyWorkRequested", "WorkDone", "WorkDone"), strict=True):
        work = {"name": f"chaosevents.{name}", "aggregate": "work_id:1", "payload": {}}
        Event.objects.filter(pk=id).update(**work)


def publish_an_unknown_order() -> None:
    event = Event.objects.filter(name="orders.OrderPaid").latest("position")
    Event.objects.filter(pk=event.pk).update(aggregate="order:01a1f8f0-0d1f-70ef-9790-fa9a3e48375b")


def handle_an_unknown_event() -> None:
    stray = Inbox.objects.filter(consumer="orders.pay_order").latest("handled_at")
    values = {"generation": 0, "handled_at": stray.handled_at}
    Inbox.objects.create(
        consumer="orders.pay_order", event_id="01a1f8f0-0d1f-70ef-9790-fa9a3e48375b", **values
    )


def add_a_dead_letter() -> None:
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
class TestTheChecks:
    def test_a_consistent_shop_has_no_violation(self, shop: Shop) -> None:
        findings = run_checks(shop)
        assert violations(findings) == ""
        assert sum(not finding.checked for finding in findings) == 2, "no dead letters, no work"

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda: Inbox.objects.filter(consumer="orders.pay_order").delete(), "never handled"),
            (lambda: Event.objects.filter(name="orders.OrderPlaced").delete(), "no orders.Order"),
            (lambda: Payment.objects.filter(status="captured").delete(), "lost: paying"),
            (lambda: Payment.objects.filter(status="declined").update(status="captured"), "bank"),
            (
                lambda: Order.objects.filter(status="paid").update(status="reserved"),
                "event paid",
            ),
            (lambda: Event.objects.update(aggregate_version=1), "version 1 again"),
            (duplicate_movement, "twice by"),
            (do_work_twice, "work_id:1 {}: done 2 times"),
            (publish_an_unknown_order, "orders.OrderPaid of order:01a1f8f0"),
            (handle_an_unknown_event, "pay_order handled 01a1f8f0"),
            (add_a_dead_letter, "ValueError"),
        ],
    )
    def test_each_kind_of_damage_is_found(
        self, shop: Shop, spoil: Callable[[], object], words: str
    ) -> None:
        writes = [("paying", str(payment.pk)) for payment in Payment.objects.all()]
        writes += [("placed", str(order.pk)) for order in Order.objects.all()]
        spoil()
        findings = [delivery_checks.acknowledged(writes), *run_checks(shop)]
        assert words in violations(findings)

    def test_duplicates_of_events_in_flight_at_a_fault_are_expected(
        self, shop: Shop, tmp_path: Path
    ) -> None:
        records = [{"event": "duplicate delivery", "events": 2}, {"event": "ready"}]
        (tmp_path / "worker.log").write_text("no JSON\n" + "\n".join(map(json.dumps, records)))
        now = timezone.now().timestamp()
        for times, expected in ([], ["2 too many"]), ([now - 60, now + 60], ["2 too many"]):
            (tmp_path / duplicates.FAULT_TIMES).write_text(json.dumps(times))
            assert duplicates.duplicate_deliveries(tmp_path).violations == expected
        (tmp_path / duplicates.FAULT_TIMES).write_text(json.dumps([now]))
        finding = duplicates.duplicate_deliveries(tmp_path)
        assert finding.violations == []
        assert finding.claim.startswith("duplicate deliveries 2 <= ")

    def test_an_event_that_was_not_handled_is_found(self, shop: Shop) -> None:
        publish(ProductRetired(sku="teapot"))
        Event.objects.filter(name="orders.ProductRetired").update(name="orders.OrderPlaced")
        assert "never handled" in violations([delivery_checks.lost()])
