"""A broker that fails in any way: relay and workers stay, and go on by themselves."""

import json
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kombu import Connection

from config.celery import app
from config.worker import Consumer
from tests.processes.buyers import undelivered
from tests.processes.deployment import TIMEOUT, Deployment, Process, wait_until
from tests.slow_proxy import SlowProxy
from tests.valkey_faults import (
    frozen,
    loading,
    out_of_memory,
    read_only,
    restarted_empty,
    without_replicas,
)
from tools.chaos.brokers import RabbitBroker
from tools.devserver.servers import Valkey

LASTS = 4.0  # seconds: above the pauses of relay and worker between two attempts
PUBLISH = """
from django.db import transaction
from eventbus import publish
from orders.events import ProductRetired
for n in range(3):
    with transaction.atomic():
        publish(ProductRetired(sku=f"{prefix}-{{n}}"))
"""


FAULTS = [read_only, out_of_memory, without_replicas, frozen, loading, restarted_empty]


def publish(deployment: Deployment, prefix: str) -> None:
    done = deployment.manage("shell", "-c", PUBLISH.format(prefix=prefix))
    assert done.returncode == 0, done.stderr


@pytest.mark.postgres
def test_relay_and_worker_survive_each_failure_of_a_redis(
    deployment: Deployment, tmp_path: Path
) -> None:
    with Valkey(tmp_path / "broker") as valkey:
        deployment.env["BROKER_URL"] = valkey.broker_url
        relay, worker = deployment.relay(), all_queues(deployment)
        for process in (relay, worker):
            process.until("ready", "ok")
        publish(deployment, "new")
        wait_until(lambda: not undelivered(deployment))
        assert warnings_of(relay, worker) == []
        for fault in FAULTS:
            with fault(valkey):
                publish(deployment, fault.__name__)
                time.sleep(LASTS)
            wait_until(lambda: not undelivered(deployment), TIMEOUT * 2)
            assert (relay.running, worker.running) == (True, True), fault.__name__


class Uncloseable(Connection):
    """A connection that fails when it is closed, as kombu's did after a second break."""

    def close(self) -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")


def test_a_connection_that_cannot_be_closed_does_not_end_the_worker(tmp_path: Path) -> None:
    with Valkey(tmp_path / "broker") as valkey:
        consumer = Consumer.__new__(Consumer)
        consumer.app, consumer.connection = app, Uncloseable(valkey.broker_url)
        consumer.connection.ensure_connection()
        valkey.kill()
        consumer.on_connection_error_after_connected(ConnectionError("the broker was killed"))
        assert consumer.connection is None


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_on_a_new_virtual_host_a_start_logs_no_warning(
    deployment: Deployment, over_rabbitmq: RabbitBroker
) -> None:
    relay, worker = deployment.relay(), all_queues(deployment)
    for process in (relay, worker):
        process.until("ready", "ok")
    publish(deployment, "new")
    wait_until(lambda: not undelivered(deployment))
    assert warnings_of(relay, worker) == []

    if not over_rabbitmq.restart():
        pytest.skip("without rabbitmqctl the connections of the virtual host cannot be closed")
    publish(deployment, "after")
    wait_until(lambda: not undelivered(deployment), TIMEOUT * 2)
    assert relay.running
    assert worker.running


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_relay_and_worker_survive_a_virtual_host_that_is_deleted_and_made_again(
    deployment: Deployment, over_rabbitmq: RabbitBroker
) -> None:
    if not over_rabbitmq.own:
        pytest.skip("without rabbitmqctl there is no virtual host that could be deleted")
    relay, worker = deployment.relay(), all_queues(deployment)
    for process in (relay, worker):
        process.until("ready", "ok")
    with over_rabbitmq.deleted():
        publish(deployment, "meanwhile")
        time.sleep(LASTS)
    wait_until(lambda: not undelivered(deployment), TIMEOUT * 2)
    assert (relay.running, worker.running) == (True, True)


PUBLISH_MUCH = """
import random
from decimal import Decimal
from django.db import transaction
from eventbus import publish
from orders.events import ProductListed
with transaction.atomic():
    for n in range(300):
        long = random.randbytes(1500).hex()
        listed = {"sku": str(n), "name": "", "description": long, "currency": "EUR"}
        publish(ProductListed(unit_price=Decimal(1), **listed))
"""


def survives_a_slow_broker(deployment: Deployment, proxy: SlowProxy) -> None:
    relay, worker = deployment.relay(), all_queues(deployment)
    for process in (relay, worker):
        process.until("ready", "ok")
    # A megabyte and more takes longer than the relay waits for a confirm.
    proxy.delay, proxy.rate = 0.02, 50_000
    done = deployment.manage("shell", "-c", PUBLISH_MUCH)
    assert done.returncode == 0, done.stderr
    publish(deployment, "slow")
    time.sleep(20)
    assert undelivered(deployment), "it was slow all along"
    proxy.delay, proxy.rate = 0.0, float("inf")
    wait_until(lambda: not undelivered(deployment), TIMEOUT * 2)
    assert (relay.running, worker.running) == (True, True)
    assert "Traceback" not in relay.output + worker.output
    assert deployment.sql("SELECT count(*) FROM eventbus_dead_letter") == [(0,)]
    found = json.loads(deployment.manage("audit", "--json").stdout)["completeness"]["total"]
    assert found["handled"] == found["owed"] >= 600


@pytest.mark.postgres
def test_relay_and_worker_survive_a_slow_redis(deployment: Deployment, tmp_path: Path) -> None:
    with Valkey(tmp_path / "broker") as valkey, SlowProxy(str(valkey.address)) as proxy:
        deployment.env["BROKER_URL"] = f"redis://127.0.0.1:{proxy.port}/0"
        survives_a_slow_broker(deployment, proxy)


@pytest.mark.postgres
@pytest.mark.rabbitmq
def test_relay_and_worker_survive_a_slow_rabbitmq(
    deployment: Deployment, over_rabbitmq: RabbitBroker
) -> None:
    url = urlsplit(over_rabbitmq.url)
    with SlowProxy((url.hostname or "127.0.0.1", url.port or 5672)) as proxy:
        address = f"{url.username}:{url.password}@127.0.0.1:{proxy.port}"
        deployment.env["BROKER_URL"] = url._replace(netloc=address).geturl()
        survives_a_slow_broker(deployment, proxy)


def warnings_of(*processes: Process) -> list[str]:
    """Return the lines of the logs that are more than information."""
    logs = "\n".join(process.output for process in processes)
    return re.findall(r"(?i)^.*\[(?:warning|error|critical).*$", logs, re.M)


def all_queues(deployment: Deployment) -> Process:
    """Start a worker without -Q: it takes the queues of all contexts."""
    return deployment.start("worker", ["-m", "celery", "-A", "config", "worker", "-c2"])


def test_a_worker_without_a_broker_does_not_start(embedded: Deployment) -> None:
    worker = all_queues(embedded)
    assert worker.wait() != 0
    assert "Set BROKER_URL" in worker.output
