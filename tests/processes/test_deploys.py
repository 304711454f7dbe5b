"""Versions of a context side by side, forth and back, with a renamed consumer and without it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes.buyers import undelivered
from tests.processes.deployment import CONTEXTS, TIMEOUT, Deployment, Process, wait_until

CONSUMERS = """
import os
from django.db import connection
from eventbus import consumer

def note(name, sku):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO witness VALUES (%s, %s)", [name, sku])

if os.environ["LEDGER"] == "old":
    @consumer("orders.ProductRetired")
    def keep(sku: str) -> None:
        note("keep", sku)
else:
    @consumer("orders.ProductRetired", renamed_from="ledger.keep")
    def write_down(sku: str) -> None:
        note("keep", sku)

    @consumer("orders.ProductRetired")
    def count(sku: str) -> None:
        note("count", sku)
"""
PUBLISH = """
from django.db import transaction
from eventbus import publish
from orders.events import ProductRetired
for n in range(5):
    with transaction.atomic():
        publish(ProductRetired(sku=f"{prefix}-{{n}}"))
"""
OLD = {"LEDGER": "old"}
NEW = {"LEDGER": "new"}
WITHOUT = {"EXTRA_CONTEXTS": ""}


@dataclass
class Ledger:
    """A deployment whose processes have a version of the ledger each."""

    deployment: Deployment

    def start(self, version: dict[str, str]) -> list[Process]:
        """Migrate and start a relay and a worker, as a deployment of this version does."""
        migrated = self.deployment.manage("migrate", "-v0", **version)
        assert migrated.returncode == 0, migrated.stderr
        queues = CONTEXTS if version is WITHOUT else f"{CONTEXTS},ledger"
        started = [
            self.deployment.relay(**version),
            self.deployment.worker(queues=queues, **version),
        ]
        for process in started:
            process.until("ready", "ok")
        return started

    def publish(self, prefix: str) -> list[str]:
        """Publish five events in transactions of their own."""
        done = self.deployment.manage("shell", "-c", PUBLISH.format(prefix=prefix), **NEW)
        assert done.returncode == 0, done.stderr
        return [f"{prefix}-{n}" for n in range(5)]

    def noted(self, name: str) -> dict[str, int]:
        """Return how often an effect of a consumer was saved."""
        rows = self.deployment.sql(
            "SELECT sku, count(*) FROM witness WHERE name = %s GROUP BY sku", name
        )
        return dict(rows)

    def waiting(self) -> bool:
        """Whether an event waits for a process that has its code."""
        return bool(self.deployment.sql("SELECT 1 FROM eventbus_retry WHERE attempts = 0"))


@pytest.fixture
def ledger(deployment: Deployment, tmp_path: Path) -> Ledger:
    context = tmp_path / "contexts" / "ledger"
    context.mkdir(parents=True)
    (context / "__init__.py").touch()
    (context / "consumers.py").write_text(CONSUMERS)
    deployment.env |= {"EXTRA_CONTEXTS": "ledger", "PYTHONPATH": str(context.parent)}
    deployment.sql("CREATE TABLE witness (name text, sku text)")
    return Ledger(deployment)


def stop(processes: list[Process]) -> None:
    for process in processes:
        process.stop()


@pytest.mark.postgres
def test_deployed_forth_and_back_and_without_the_context_nothing_is_lost_or_doubled(
    ledger: Ledger,
) -> None:
    # given: the old version alone
    old = ledger.start(OLD)
    kept = ledger.publish("old")

    # when: the new one is started beside it, which renames a consumer and adds another
    new = ledger.start(NEW)
    counted = ledger.publish("both")
    stop(old)
    counted += ledger.publish("new")

    # and the deployment is taken back, then a process set without the context is started alone
    stop(new)
    old = ledger.start(OLD)
    counted += ledger.publish("back")
    wait_until(ledger.waiting)  # the added consumer is owed them, and its code is not here
    stop(old)
    without = ledger.start(WITHOUT)
    counted += ledger.publish("without")

    # and all of it comes again
    stop(without)
    new = ledger.start(NEW)
    counted += ledger.publish("again")
    wait_until(lambda: not undelivered(ledger.deployment), TIMEOUT * 2)

    # then
    assert ledger.noted("keep") == dict.fromkeys(kept + counted, 1)
    assert ledger.noted("count") == dict.fromkeys(counted, 1)
    assert ledger.deployment.sql("SELECT count(*) FROM eventbus_dead_letter") == [(0,)]
    assert not any("database unreachable" in p.output for p in ledger.deployment.started)
