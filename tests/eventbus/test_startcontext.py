"""`startcontext` writes a context that passes its own test and the laws, for every event."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from eventbus.publishing import contracts
from tools.devserver.pytest_plugin import on_sqlite

ROOT = Path(settings.BASE_DIR)
EVENTS = [name for name, contract in contracts.published().items() if "x-only-for" not in contract]
REAL = """
from decimal import Decimal
from accounts.services import sign_up
from eventbus.testing import Bus
from gossip.models import CustomerSignedUpRecord, ProductListedRecord
from orders.services import list_product

def test_events_of_other_contexts_arrive(db):
    bus = Bus()
    sign_up(email="sari@example.org", password="x", name="Sari", language="id", country="ID")
    list_product("teapot", "Teapot", Decimal("10.00"), "EUR")
    bus.settle()
    assert CustomerSignedUpRecord.objects.get().name == "Sari"
    assert ProductListedRecord.objects.get().unit_price == Decimal("10.00")
"""

Run = Callable[..., str]


def start(folder: Path, name: str, *events: str, **options: object) -> None:
    subscriptions = [f"--hears={event}" for event in events]
    call_command("startcontext", name, f"--into={folder}", *subscriptions, **options)


@pytest.fixture(scope="module")
def gossip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a context that subscribes to every event that is for all contexts."""
    folder = tmp_path_factory.mktemp("contexts")
    start(folder, "gossip", *EVENTS)
    return folder


@pytest.fixture
def run(gossip: Path, tmp_path: Path) -> Run:
    """Run a module or manage.py as a developer of the context does, and return the output."""
    env = os.environ | {
        "EXTRA_CONTEXTS": "gossip",
        "PYTHONPATH": str(gossip),
        "VAR_DIR": str(tmp_path),
        "KABAR_TEST_DB": "sqlite",
    }
    env.pop("DATABASE_URL", None)

    def run(*arguments: str, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=env | more,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


# The commands use SQLite whatever the session has, so the session on PostgreSQL need not wait.
once = pytest.mark.skipif(not on_sqlite(), reason="runs in the session on SQLite")


@once
def test_it_passes_its_own_test_and_handles_real_events(
    run: Run, gossip: Path, tmp_path: Path
) -> None:
    real = tmp_path / "test_real.py"
    real.write_text(REAL)
    printed = run("-m", "pytest", "-c", "pyproject.toml", f"{gossip}/tests", str(real))
    assert f"{len(EVENTS) + 1} passed" in printed


@once
def test_its_migration_is_complete_and_its_subscriptions_are_understood(run: Run) -> None:
    assert "No changes" in run("manage.py", "makemigrations", "--check")
    assert "no issues" in run("manage.py", "check")


@once
def test_linter_and_type_checker_have_no_complaint(run: Run, gossip: Path) -> None:
    sources = f"src = ['{ROOT}', '{gossip}']"
    ruff = [
        "-m",
        "ruff",
        "check",
        "--config",
        "pyproject.toml",
        "--config",
        sources,
        "--exclude",
        "migrations",
    ]
    run(*ruff, f"{gossip}/gossip")
    run(*ruff, f"{gossip}/tests")
    formatted = ["-m", "ruff", "format", "--check", "--config", "pyproject.toml"]
    run(*formatted, "--exclude", "migrations", str(gossip))
    run("-m", "mypy", str(gossip / "gossip"))


@once
def test_it_keeps_to_the_layers(run: Run) -> None:
    run("-m", "pytest", "tests/laws/test_layers.py", "tests/laws/test_contexts.py")


@once
def test_the_example_passes_its_own_test(run: Run) -> None:
    contexts = {"EXTRA_CONTEXTS": "loyalty", "PYTHONPATH": str(ROOT / "examples")}
    assert "passed" in run("-m", "pytest", "examples", **contexts)
    assert "no issues" in run("-m", "mypy", "examples/loyalty", **contexts)


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_can_be_the_first(event: str, tmp_path: Path) -> None:
    start(tmp_path, "loyalty", event)
    for file in tmp_path.rglob("*.py"):
        compile(file.read_text(), file.name, "exec")
    assert f'@consumer("{event}"' in (tmp_path / "loyalty" / "consumers.py").read_text()


def test_the_next_commands_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(tmp_path, "loyalty", "orders.OrderPaid")
    run = f"EXTRA_CONTEXTS=loyalty PYTHONPATH={tmp_path}"
    printed = capsys.readouterr().out
    assert f"{run} .venv/bin/python -m pytest -c pyproject.toml {tmp_path}/tests/loyalty" in printed
    assert f"{run} .venv/bin/python manage.py check" in printed
    assert f"{run} make run" in printed


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start(tmp_path, "loyalty", "orders.OrderPaid", dry_run=True)
    assert "loyalty/consumers.py" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "event", "message"),
    [
        ("Loyalty", "orders.OrderPaid", "Use a-z, 0-9 and _"),
        ("loyal-ty", "orders.OrderPaid", "Use a-z, 0-9 and _"),
        ("class", "orders.OrderPaid", "Use a-z, 0-9 and _"),
        ("orders", "orders.OrderPaid", "has a package orders already. Choose another name."),
        ("json", "orders.OrderPaid", "has a package json already. Choose another name."),
        ("here", "orders.OrderPaid", "here exists. Choose another name, or move it first."),
        (
            "loyalty",
            "orders.OrderPlased",
            "Did you mean orders.OrderPlaced?",
        ),
        ("loyalty", "weather.Changed", "docs/event-map.md lists all events."),
        ("loyalty", "payments.RefundDue", "payments.RefundDue is for one consumer in payments."),
    ],
)
def test_a_refusal_names_the_next_step(name: str, event: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(CommandError) as refused:
        start(tmp_path, name, event)
    assert message in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
