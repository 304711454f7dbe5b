"""Who watches the processes: blocked is noticed, not only dead; draining is told before the end."""

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
from tests.processes.buyers import shelve, under_way
from tests.processes.house import House, wait_until
from tools.devserver.servers import Valkey

NOBODY = "accounts.nobody"
NOWHERE = "/nowhere/valkey.sock"
DUE_SOON = """
    INSERT INTO eventbus_scheduled (id, name, aggregate, payload, correlation, traceparent,
                                    tracestate, actor, due_at)
    VALUES (?, 'accounts.Nothing', '', '{}', ?, '', '', '', datetime('now', '+1 second'))
"""


def tell_nobody(house: House) -> None:
    """Send a delivery whose failure a worker has to write down."""
    envelope = Envelope(
        id=uuid4(),
        name="accounts.Nothing",
        payload={},
        recorded_at=dt.datetime.now(dt.UTC),
        correlation=uuid4(),
    )
    with Celery(broker=house.env["BROKER_URL"]) as sender:
        wire = msgspec.json.encode([to_cloudevent(envelope)]).decode()
        sender.send_task("eventbus.deliver", (0, NOBODY, wire), queue="accounts")


def test_a_relay_is_live_and_ready_and_ends_on_sigterm(house: House) -> None:
    relay = house.relay()
    relay.until("ready", "ok")
    assert relay.health("live") == "ok"
    assert relay.get("/health/anything")[0] == 404

    relay.signal(signal.SIGTERM)
    assert relay.ended() == 0


def test_a_relay_whose_loop_is_blocked_is_not_live(house: House) -> None:
    relay = house.relay()
    relay.until("live", "ok")
    with house.locked("eventbus_outbox"):
        relay.until("live", "blocked")
        assert relay.health("ready").startswith("blocked")
    relay.until("ready", "ok")


def test_a_relay_says_that_it_drains_while_it_ends_its_round(house: House) -> None:
    relay = house.relay()
    relay.until("ready", "ok")
    with house.locked("eventbus_outbox"):
        wait_until(house.waits_for_a_lock)
        relay.signal(signal.SIGTERM)
        relay.until("ready", "draining")
        assert relay.running
    assert relay.ended() == 0


def test_a_relay_ends_in_time_though_its_broker_has_frozen(house: House, tmp_path: Path) -> None:
    # given
    with Valkey(tmp_path / "broker") as broker:
        relay = house.relay(BROKER_URL=broker.broker_url)
        relay.until("ready", "ok")
        assert broker.process
        broker.process.send_signal(signal.SIGSTOP)
        shelve(house, "teapot", 1)
        relay.until("live", "blocked")

        # when
        relay.signal(signal.SIGTERM)

        # then
        assert relay.ended(GRACE + 5) == 0
        broker.process.send_signal(signal.SIGCONT)

    # and nothing is lost
    assert under_way(house)
    for process in (house.relay(SEND_DEADLINE="1"), house.worker()):
        process.until("ready", "ok")
    wait_until(lambda: not under_way(house))


def test_a_frozen_process_answers_no_probe(house: House) -> None:
    relay = house.relay()
    relay.until("ready", "ok")
    relay.signal(signal.SIGSTOP)
    assert relay.health("live", seconds=1) == "deaf"
    relay.signal(signal.SIGCONT)
    relay.until("live", "ok")


def test_a_process_without_its_database_lives_but_is_not_ready(house: House) -> None:
    relay = house.relay()
    relay.until("ready", "ok")
    with house.without_database():
        relay.until("ready", "database unreachable")
        assert relay.health("live") == "ok"
    relay.until("ready", "ok")


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_a_worker_is_live_and_ready_and_ends_on_sigterm(house: House, pool: str) -> None:
    worker = house.worker("-P", pool)
    worker.until("ready", "ok")
    assert worker.health("live") == "ok"

    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0


def test_a_worker_whose_main_loop_is_blocked_is_not_live(house: House, tmp_path: Path) -> None:
    stone = tmp_path / "stone"
    stone.touch()
    worker = house.worker("--include", "tests.processes.sleeper")
    worker.until("ready", "ok")
    with Celery(broker=house.env["BROKER_URL"]) as operator:
        wait_until(lambda: operator.control.ping(timeout=1))  # it hears what is broadcast
        operator.control.broadcast("stand_still", arguments={"file": str(stone)})
    worker.until("live", "blocked")
    stone.unlink()
    worker.until("ready", "ok")


def test_a_worker_says_that_it_drains_while_it_ends_its_delivery(house: House) -> None:
    worker = house.worker()
    worker.until("ready", "ok")
    with house.locked("eventbus_retry"):
        tell_nobody(house)
        wait_until(house.waits_for_a_lock)
        worker.signal(signal.SIGTERM)
        worker.until("ready", "draining")
        assert worker.health("live") == "ok"
    assert worker.ended() == 0
    assert house.sql("SELECT count(*) FROM eventbus_retry") == [(1,)]


def test_a_worker_without_a_broker_lives_and_waits_for_it(house: House) -> None:
    worker = house.worker(BROKER_URL=f"redis+socket://{NOWHERE}?virtual_host=0")
    worker.until("live", "ok")
    assert worker.health("ready") == "broker unreachable"
    # Longer than a loop may be without a beat: it waits for others, it is not blocked.
    threading.Event().wait(3)
    assert worker.health("live") == "ok"


def test_a_worker_outlives_its_broker(house: House, tmp_path: Path) -> None:
    with Valkey(tmp_path / "broker") as broker:
        worker = house.worker(BROKER_URL=broker.broker_url)
        worker.until("ready", "ok")
        broker.kill()
        worker.until("ready", "broker unreachable")
        threading.Event().wait(3)
        assert worker.health("live") == "ok"
        broker.start()
        worker.until("ready", "ok")


def test_a_web_process_is_ready_once_its_database_is_migrated(empty_house: House) -> None:
    web = empty_house.web()
    web.until("ready", "database not migrated")
    web.stop()

    empty_house.manage("migrate")
    web = empty_house.web()
    web.until("ready", "ok")
    assert web.get("/health/ready")[1]["checks"] == {
        "notdraining": "ok",
        "database": "ok",
        "relay": "ok",
    }
    assert web.health("live") == "ok"


def test_a_web_process_whose_relay_is_blocked_is_not_live(small_house: House) -> None:
    web = small_house.web()
    web.until("ready", "ok")
    file = sqlite3.connect(Path(small_house.env["VAR_DIR"], "kabar.sqlite3"), isolation_level=None)
    with closing(file):
        file.execute(DUE_SOON, (uuid4().hex, uuid4().hex))
        file.execute("BEGIN EXCLUSIVE")
        web.until("live", "blocked")
        file.execute("ROLLBACK")
    web.until("live", "ok")


def test_one_web_process_has_the_relay_and_another_takes_over(small_house: House) -> None:
    first = small_house.web()
    first.until("ready", "ok")
    second = small_house.web()
    second.until("ready", "ok")

    first.stop()
    shelve(small_house, "teapot", 1)
    wait_until(lambda: not under_way(small_house))
    second.until("ready", "ok")


def test_a_web_process_serves_while_it_drains(small_house: House) -> None:
    web = small_house.web(DRAIN_SECONDS="3")
    web.until("ready", "ok")
    web.signal(signal.SIGTERM)
    web.until("ready", "draining")
    assert web.health("live") == "ok"
    assert web.running
    assert web.ended() == 0


def test_a_web_process_without_cache_and_broker_is_ready_and_says_so(house: House) -> None:
    web = house.web(
        BROKER_URL=f"redis+socket://{NOWHERE}?virtual_host=0", CACHE_URL=f"unix://{NOWHERE}?db=1"
    )
    web.until("ready", "ok")
    checks = web.get("/health/ready")[1]["checks"]
    assert checks["cache"].startswith("cache unreachable")
    assert checks["broker"].startswith("broker unreachable")


def test_a_web_process_without_its_database_is_not_ready(house: House) -> None:
    web = house.web()
    web.until("ready", "ok")
    with house.without_database():
        web.until("ready", "database unreachable")
        assert web.health("live") == "ok"
    web.until("ready", "ok")
