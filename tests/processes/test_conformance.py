"""A handler may do anything: on each transport its event ends as it should, and no other is harmed.

A consumer misbehaves at the second of three events, in a deployment of real processes. Afterwards
the consumers are cured, an operator retries the dead letters, and each effect is there once.
"""

import re
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes.buyers import undelivered
from tests.processes.deployment import (
    CONTEXTS,
    REPOSITORY,
    TIMEOUT,
    Deployment,
    Process,
    wait_until,
)

PUBLISH = """
from django.db import transaction
from eventbus import publish
from orders.events import ProductRetired
with transaction.atomic():
    for sku in ("first", "bad", "last"):
        publish(ProductRetired(sku=sku))
"""
HANDLED = "handled"
KILLED = "seems to kill its worker"
# The outcome of the bad event in one process, and with Celery's workers: handled, or the words of
# its dead letter. In one process no time limit ends a handler.
OUTCOMES = {
    "raise_error": ("ValueError: a mistake",) * 2,
    "give_up": ("there is no such shelf",) * 2,
    "raise_cancelled": ("raised CancelledError",) * 2,
    "exit_by_exception": ("raised SystemExit", KILLED),
    "exit_at_once": (KILLED,) * 2,
    "abort": (KILLED,) * 2,
    "kill_itself": (KILLED,) * 2,
    "set_rollback": ("its transaction marked for rollback",) * 2,
    "roll_back_by_hand": ("ended its transaction",) * 2,
    "commit_by_hand": ("ended its transaction",) * 2,
    "close_connection": ("its transaction closed",) * 2,
    "break_transaction": ("a mistake", "its transaction broken"),
    "catch_refusal": (HANDLED,) * 2,
    "try_without_effect": (HANDLED,) * 2,
    "use_savepoint": (HANDLED,) * 2,
    "raise_unstorable_text": (r"nul \0 and a lone surrogate \ud800",) * 2,
    "raise_huge_text": ("xxxxxxxxxx",) * 2,
    "raise_unprintable": ("Silent",) * 2,
    "recurse": ("RecursionError",) * 2,
    "raise_memory_error": ("MemoryError",) * 2,
    "publish_and_fail": ("ValueError: a mistake",) * 2,
    "sleep_long": (HANDLED, "SoftTimeLimitExceeded"),
    "sleep_through_the_soft_limit": (HANDLED, KILLED),
    "change_session": (HANDLED,) * 2,
    "fail_after_commit": (HANDLED,) * 2,
}
# A COMMIT by hand has saved the effect of the first run.
TWICE = {"commit_by_hand"}
ENV = {
    "DJANGO_SETTINGS_MODULE": "tests.processes.conformance_settings",
    "EXTRA_CONTEXTS": "mischief",
    "PYTHONPATH": str(REPOSITORY / "tests" / "processes" / "contexts"),
    "TASK_TIME_LIMIT": "5",
}


@dataclass
class Scene:
    """A deployment, the processes of its bus, and the file that cures the consumers."""

    deployment: Deployment
    running: list[Process]
    cured: Path

    def manage(self, *command: str) -> None:
        """Run a command that succeeds."""
        done = self.deployment.manage(*command)
        assert done.returncode == 0, done.stderr

    def settle(self) -> None:
        """Wait until all is delivered; start a process again that a handler has killed."""
        wait_until(self._is_settled, TIMEOUT * 4)

    def _is_settled(self) -> bool:
        for at, process in enumerate(self.running):
            if not process.running:
                assert process.wait() in (3, -signal.SIGABRT, -signal.SIGKILL), process.output
                self.running[at] = start_shop(self.deployment)
        return not undelivered(self.deployment)

    def outcomes(self) -> dict[str, str]:
        """Return the error of each consumer whose bad event is a dead letter."""
        rows = self.deployment.sql("SELECT consumer, error FROM eventbus_dead_letter")
        return {consumer.removeprefix("mischief."): error for consumer, error in rows}

    def effects(self) -> dict[tuple[str, str], int]:
        """Return how often each consumer's effect of each event was saved."""
        rows = self.deployment.sql("SELECT name, sku, count(*) FROM witness GROUP BY name, sku")
        return {(name, sku): count for name, sku, count in rows}


def start_shop(deployment: Deployment) -> Process:
    return deployment.start("shop", ["manage.py", "runshop"])


def prepare(deployment: Deployment, folder: Path) -> None:
    deployment.env |= ENV | {"CURED_FILE": str(folder / "cured")}
    migrated = deployment.manage("migrate", "-v0")
    assert migrated.returncode == 0, migrated.stderr
    deployment.sql("CREATE TABLE witness (name text, sku text)")


@pytest.fixture
def in_one_process(embedded: Deployment, tmp_path: Path) -> Scene:
    prepare(embedded, tmp_path)
    return Scene(embedded, [start_shop(embedded)], tmp_path / "cured")


@pytest.fixture
def over_a_broker(deployment: Deployment, tmp_path: Path) -> Scene:
    prepare(deployment, tmp_path)
    worker = deployment.worker("-c4", queues=f"{CONTEXTS},mischief")
    return Scene(deployment, [deployment.relay(), worker], tmp_path / "cured")


def check(scene: Scene, expected: dict[str, str]) -> None:
    """Publish, settle, cure, retry; compare outcomes and effects with those expected."""
    dead = {name: words for name, words in expected.items() if words != HANDLED}
    scene.manage("shell", "-c", PUBLISH)
    scene.settle()
    found = scene.outcomes()
    assert {
        name: dead.get(name, "") if dead.get(name, "?") in error else error[-300:]
        for name, error in found.items()
    } == dead
    saved = [(name, sku) for name in expected for sku in ("first", "last")]
    saved += [(name, "bad") for name in expected if name not in dead or name in TWICE]
    assert scene.effects() == dict.fromkeys(saved, 1)

    scene.cured.touch()
    scene.manage("retrydeadletters", "--yes")
    scene.settle()
    assert scene.outcomes() == {}
    once_each = {(name, sku): 1 for name in expected for sku in ("first", "bad", "last")}
    assert scene.effects() == once_each | {(name, "bad"): 2 for name in TWICE}


def test_in_one_process_a_handler_may_do_anything(in_one_process: Scene) -> None:
    check(in_one_process, {name: here for name, (here, _) in OUTCOMES.items()})


@pytest.mark.postgres
def test_over_valkey_a_handler_may_do_anything(over_a_broker: Scene) -> None:
    check(over_a_broker, {name: there for name, (_, there) in OUTCOMES.items()})


@pytest.mark.postgres
@pytest.mark.rabbitmq
@pytest.mark.usefixtures("over_rabbitmq")
def test_over_rabbitmq_a_handler_may_do_anything(over_a_broker: Scene) -> None:
    check(over_a_broker, {name: there for name, (_, there) in OUTCOMES.items()})


def test_the_page_lists_each_case() -> None:
    page = REPOSITORY / "docs" / "operate" / "misbehaving-handlers.md"
    assert re.findall(r"^\| `(\w+)`", page.read_text(), re.M) == list(OUTCOMES)
