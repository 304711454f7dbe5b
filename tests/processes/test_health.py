"""Health probes: a blocked process is not live, a draining one is not ready."""

import datetime as dt
import signal
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from celery import Celery

from eventbus.cloudevents import to_cloudevent
from eventbus.events import Envelope
from eventbus.management.commands.runrelay import GRACE
from tests.processes.buyers import list_product, undelivered
from tests.processes.deployment import Deployment, wait_until
from tools.devserver.servers import Valkey

UNKNOWN_CONSUMER = "accounts.unknown"
NOWHERE = "/nowhere/valkey.sock"
DUE_SOON = """
    INSERT INTO eventbus_scheduled (id, name, aggregate, payload, correlation, traceparent,
                                    tracestate, actor, due_at)
    VALUES (?, 'accounts.Nothing', '', '{}', ?, '', '', '', datetime('now', '+1 second'))
"""


def deliver_to_unknown_consumer(deployment: Deployment) -> None:
    """Send a delivery that fails, so that the worker records a retry."""
    envelope = Envelope(
        id=uuid4(),
        name="accounts.Nothing",
        payload={},
        recorded_at=dt.datetime.now(dt.UTC),
        correlation=uuid4(),
    )
    with Celery(broker=deployment.env["BROKER_URL"]) as sender:
        wire = msgspec.json.encode([to_cloudevent(envelope)]).decode()
        sender.send_task("eventbus.deliver", (0, UNKNOWN_CONSUMER, wire), queue="accounts")


def test_a_relay_is_live_and_ready_and_ends_on_sigterm(deployment: Deployment) -> None:
    relay = deployment.relay()
    relay.until("ready", "ok")
    assert relay.health("live") == "ok"
    assert relay.get("/health/anything")[0] == 404

    relay.signal(signal.SIGTERM)
    assert relay.wait() == 0


def test_a_relay_whose_loop_is_blocked_is_not_live(deployment: Deployment) -> None:
    relay = deployment.relay()
    relay.until("live", "ok")
    with deployment.locked("eventbus_outbox"):
        relay.until("live", "blocked")
        assert relay.health("ready").startswith("blocked")
    relay.until("ready", "ok")


def test_a_relay_says_that_it_drains_while_it_ends_its_round(deployment: Deployment) -> None:
    relay = deployment.relay()
    relay.until("ready", "ok")
    with deployment.locked("eventbus_outbox"):
        wait_until(deployment.waits_for_a_lock)
        relay.signal(signal.SIGTERM)
        relay.until("ready", "draining")
        assert relay.running
    assert relay.wait() == 0


def test_a_relay_ends_in_time_though_its_broker_has_frozen(
    deployment: Deployment, tmp_path: Path
) -> None:
    # given
    with Valkey(tmp_path / "broker") as broker:
        relay = deployment.relay(BROKER_URL=broker.broker_url)
        relay.until("ready", "ok")
        assert broker.process
        broker.process.send_signal(signal.SIGSTOP)
        list_product(deployment, "teapot", 1)
        relay.until("live", "blocked")

        # when
        relay.signal(signal.SIGTERM)

        # then
        assert relay.wait(GRACE + 5) == 0
        broker.process.send_signal(signal.SIGCONT)

    # and nothing is lost
    assert undelivered(deployment)
    for process in (deployment.relay(SEND_DEADLINE="1"), deployment.worker()):
        process.until("ready", "ok")
    wait_until(lambda: not undelivered(deployment))


def test_a_frozen_process_answers_no_probe(deployment: Deployment) -> None:
    relay = deployment.relay()
    relay.until("ready", "ok")
    relay.signal(signal.SIGSTOP)
    assert relay.health("live", seconds=1) == "unreachable"
    relay.signal(signal.SIGCONT)
    relay.until("live", "ok")


def test_a_process_without_its_database_lives_but_is_not_ready(deployment: Deployment) -> None:
    relay = deployment.relay()
    relay.until("ready", "ok")
    with deployment.without_database():
        relay.until("ready", "database unreachable")
        assert relay.health("live") == "ok"
    relay.until("ready", "ok")


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_is_live_and_ready_and_ends_on_sigterm(deployment: Deployment, pool: str) -> None:
    worker = deployment.worker("-P", pool)
    worker.until("ready", "ok")
    assert worker.health("live") == "ok"

    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_worker_whose_main_loop_is_blocked_is_not_live(
    deployment: Deployment, tmp_path: Path
) -> None:
    stone = tmp_path / "stone"
    stone.touch()
    worker = deployment.worker("--include", "tests.processes.blocking_command")
    worker.until("ready", "ok")
    with Celery(broker=deployment.env["BROKER_URL"]) as operator:
        wait_until(lambda: operator.control.ping(timeout=1))  # it hears what is broadcast
        operator.control.broadcast("block", arguments={"file": str(stone)})
    worker.until("live", "blocked")
    stone.unlink()
    worker.until("ready", "ok")


def test_a_worker_says_that_it_drains_while_it_ends_its_delivery(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.until("ready", "ok")
    with deployment.locked("eventbus_retry"):
        deliver_to_unknown_consumer(deployment)
        wait_until(deployment.waits_for_a_lock)
        worker.signal(signal.SIGTERM)
        worker.until("ready", "draining")
        assert worker.health("live") == "ok"
    assert worker.wait() == 0
    assert deployment.sql("SELECT count(*) FROM eventbus_dead_letter") == [(1,)]


def test_a_worker_without_a_broker_lives_and_waits_for_it(deployment: Deployment) -> None:
    worker = deployment.worker(BROKER_URL=f"redis+socket://{NOWHERE}?virtual_host=0")
    worker.until("live", "ok")
    assert worker.health("ready") == "broker unreachable"
    # Longer than a loop may be without a beat: it waits for others, it is not blocked.
    threading.Event().wait(3)
    assert worker.health("live") == "ok"


def test_a_worker_outlives_its_broker(deployment: Deployment, tmp_path: Path) -> None:
    with Valkey(tmp_path / "broker") as broker:
        worker = deployment.worker(BROKER_URL=broker.broker_url)
        worker.until("ready", "ok")
        broker.kill()
        worker.until("ready", "broker unreachable")
        threading.Event().wait(3)
        assert worker.health("live") == "ok"
        broker.start()
        worker.until("ready", "ok")


def test_a_web_process_is_ready_once_its_database_is_migrated(unmigrated: Deployment) -> None:
    web = unmigrated.web()
    web.until("ready", "database not migrated")
    web.stop()

    unmigrated.manage("migrate")
    web = unmigrated.web()
    web.until("ready", "ok")
    assert web.get("/health/ready")[1]["checks"] == {
        "notdraining": "ok",
        "database": "ok",
        "relay": "ok",
    }
    assert web.health("live") == "ok"


def test_a_web_process_whose_relay_is_blocked_is_not_live(embedded: Deployment) -> None:
    web = embedded.web()
    web.until("ready", "ok")
    file = sqlite3.connect(Path(embedded.env["VAR_DIR"], "kabar.sqlite3"), isolation_level=None)
    with closing(file):
        file.execute(DUE_SOON, (uuid4().hex, uuid4().hex))
        file.execute("BEGIN EXCLUSIVE")
        web.until("live", "blocked")
        file.execute("ROLLBACK")
    web.until("live", "ok")


def test_one_web_process_has_the_relay_and_another_takes_over(embedded: Deployment) -> None:
    first = embedded.web()
    first.until("ready", "ok")
    second = embedded.web()
    second.until("ready", "ok")

    first.stop()
    list_product(embedded, "teapot", 1)
    wait_until(lambda: not undelivered(embedded))
    second.until("ready", "ok")


def test_a_web_process_serves_while_it_drains(embedded: Deployment) -> None:
    web = embedded.web(DRAIN_SECONDS="3")
    web.until("ready", "ok")
    web.signal(signal.SIGTERM)
    web.until("ready", "draining")
    assert web.health("live") == "ok"
    assert web.running
    assert web.wait() == 0


def test_a_web_process_without_cache_and_broker_is_ready_and_says_so(
    deployment: Deployment,
) -> None:
    web = deployment.web(
        BROKER_URL=f"redis+socket://{NOWHERE}?virtual_host=0", CACHE_URL=f"unix://{NOWHERE}?db=1"
    )
    web.until("ready", "ok")
    checks = web.get("/health/ready")[1]["checks"]
    assert checks["cache"].startswith("cache unreachable")
    assert checks["broker"].startswith("broker unreachable")


def test_a_web_process_without_its_database_is_not_ready(deployment: Deployment) -> None:
    web = deployment.web()
    web.until("ready", "ok")
    with deployment.without_database():
        web.until("ready", "database unreachable")
        assert web.health("live") == "ok"
    web.until("ready", "ok")
