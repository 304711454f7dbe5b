"""The benchmark's verdicts and table, and a run of its parts."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tools.bench.plan import LONG, QUICK, Plan
from tools.bench.report import Row, table

ROOT = Path(__file__).resolve().parents[2]


def row(ratio: float | None, target: float | None = 2.0, *, at_most: bool = False) -> Row:
    return Row(
        name="relay",
        what="a : b",
        on="Valkey",
        ours="1",
        beside="2",
        ratio=ratio,
        target=target,
        at_most=at_most,
    )


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (row(2.0), "reached"),
        (row(1.9), "missed"),
        (row(2.0, at_most=True), "reached"),
        (row(2.1, at_most=True), "missed"),
        (row(None), "unknown"),
        (row(9.0, target=None), ""),
    ],
)
def test_a_row_says_whether_its_target_was_reached(measured: Row, verdict: str) -> None:
    assert measured.verdict == verdict


def test_the_table_shows_ratio_target_verdict_and_notes() -> None:
    shown = table([replace(row(1.234), note="so it was")]).splitlines()
    assert [cell.strip() for cell in shown[2].strip("|").split("|")] == [
        "a : b",
        "Valkey",
        "1",
        "2",
        "1.23",
        "≥ 2",
        "missed",
    ]
    assert shown[3] == "- a : b, Valkey: so it was"


def test_a_plan_travels_to_another_process() -> None:
    assert Plan.load(LONG.dump()) == LONG
    assert replace(QUICK, only="relay").wants("relay")
    assert not replace(QUICK, only="relay").wants("log")


def test_the_shop_does_not_know_the_context_of_the_bench(settings) -> None:
    assert "benchshop" not in settings.CONTEXTS
    assert not any("bench" in app for app in settings.INSTALLED_APPS)


def test_the_embedded_part_runs_and_reports(tmp_path: Path) -> None:
    report = tmp_path / "rows.json"
    command = ["-m", "tools.bench", "--quick", "--only", "embedded", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    carried, crowd = json.loads(report.read_text())
    assert carried["ratio"] > 0
    assert crowd["verdict"] == "reached", crowd
    assert "events/s through one process" in done.stdout


@pytest.mark.postgres
def test_the_checkout_costs_one_more_round_trip(tmp_path: Path) -> None:
    report = tmp_path / "rows.json"
    command = ["-m", "tools.bench", "--quick", "--only", "checkout", "--json", str(report)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, trips = json.loads(report.read_text())
    assert trips["ratio"] == 1
