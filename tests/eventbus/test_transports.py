"""Conformance of the transports: in one process, over Valkey, over RabbitMQ."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from celery import current_app
from celery.contrib.testing.worker import start_worker
from celery.signals import task_postrun
from django.db import connection, transaction

from eventbus import Envelope, publish
from eventbus.conf import conf
from eventbus.models import DeadLetter, Dispatch, Inbox, QueueMarker, Retry
from eventbus.publishing.serialization import rfc3339
from eventbus.relay import lost_messages
from eventbus.relay.relay import Relay
from eventbus.relay.transports import Message, Transport
from eventbus.relay.transports.celery import Celery
from eventbus.relay.transports.in_process import Embedded
from eventbus.testing import alone, listening
from infra import clock
from orders.events import ProductListed, ProductRetired
from tests.eventbus.consumers import make_consumer

QUEUE = f"conformance_{os.getpid()}"  # of this process: a broker may be shared
TIMEOUT = 30.0  # seconds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["embedded", "valkey", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def transport(request, monkeypatch) -> Iterator[Transport]:
    """A transport, and where it needs one, a worker that takes from its queue."""
    if request.param == "embedded":
        embedded = Embedded()
        yield embedded
        embedded.close()
        return
    if connection.vendor != "postgresql":
        pytest.skip("a worker beside this process needs PostgreSQL")
    name = "TEST_BROKER_URL" if request.param == "valkey" else "RABBITMQ_URL"
    with _worker(monkeypatch, os.environ[name]):
        celery = Celery()
        yield celery
        celery.close()


@contextmanager
def _worker(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[None]:
    for setting in ("broker_url", "broker_read_url", "broker_write_url"):
        monkeypatch.setattr(current_app.conf, setting, url)
    task_postrun.connect(_disconnect)
    try:
        with start_worker(current_app, pool="solo", perform_ping_check=False, queues=[QUEUE]):
            yield
    finally:
        task_postrun.disconnect(_disconnect)
    with current_app.connection_for_write() as link:
        link.default_channel.queue_delete(QUEUE)


def _disconnect(**kwargs: Any) -> None:
    """Close the session of the worker's thread, which ends with the test."""
    connection.close()


def deliver_all(transport: Transport, *skus: str) -> None:
    """Publish, and run the relay until everything is delivered."""
    with transaction.atomic():
        for sku in skus:
            publish(ProductRetired(sku=sku))
    relay = Relay(transport)
    deadline = time.monotonic() + TIMEOUT
    while relay.run_once() or Dispatch.objects.exists():
        assert time.monotonic() < deadline, "not delivered"


def test_every_event_sent_is_handled_once(transport):
    received: list[str] = []

    def listen(sku: str, envelope: Envelope) -> None:
        assert envelope.name == "orders.ProductRetired"
        received.append(sku)

    names = [f"{n:03}" for n in range(120)]
    with alone("nobody"), listening(make_consumer(listen, context=QUEUE)):
        deliver_all(transport, *names)

    assert sorted(received) == names
    assert Inbox.objects.filter(consumer=f"{QUEUE}.listen").count() == 120


def test_large_events_arrive_once_in_messages_of_limited_size(transport, monkeypatch):
    received: list[str] = []
    sizes: list[int] = []
    send = transport.send

    def measured(messages: Sequence[Message]) -> list[int]:
        sizes.extend(len(message.text.encode()) for message in messages)
        return send(messages)

    def listen(sku: str, description: str) -> None:
        received.append(sku)

    monkeypatch.setattr(transport, "send", measured)
    names = [f"{n:02}" for n in range(30)]
    long = 128_000 * "'\"\\ü"  # 0.9 MB once it is JSON: half of it must be escaped
    listener = make_consumer(listen, "orders.ProductListed", context=QUEUE)
    with alone("nobody"), listening(listener):
        with transaction.atomic():
            for sku in names:
                publish(
                    ProductListed(
                        sku=sku, name="", description=long, unit_price=Decimal(1), currency="EUR"
                    )
                )
        deliver_all(transport)

    assert sorted(received) == names
    assert max(sizes) < conf().MAX_MESSAGE_BYTES + conf().MAX_PAYLOAD_BYTES + 1000


def test_a_failure_is_recorded_and_harms_no_other_event(transport, settings):
    settings.EVENTBUS = {**settings.EVENTBUS, "RETRY_DELAY": 3600}

    def listen(sku: str) -> None:
        if sku == "bad":
            raise ValueError("spoiled")

    with alone("nobody"), listening(make_consumer(listen, context=QUEUE)):
        deliver_all(transport, "a", "bad", "b")

    assert Inbox.objects.count() == 2
    assert "spoiled" in Retry.objects.get().error
    assert not DeadLetter.objects.exists()


def test_an_external_call_is_made_outside_a_transaction(transport):
    if connection.vendor == "sqlite":
        pytest.skip("the tests' SQLite is in memory, where a thread cannot wait for another")
    inside: list[bool] = []

    def call(sku: str) -> None:
        inside.append(connection.in_atomic_block)

    with alone("nobody"), listening(make_consumer(call, external=True, context=QUEUE)):
        deliver_all(transport, "a", "b")

    assert inside == [False, False]
    assert Inbox.objects.exclude(handled_at=None).count() == 2


def test_a_marker_comes_through_where_messages_may_be_lost(transport):
    if transport.in_process:
        # Messages in this process are lost only with the process.
        assert lost_messages.resend_lost(transport, [QUEUE]) == 0
        assert not QueueMarker.objects.exists()
        return
    QueueMarker.objects.create(queue=QUEUE)
    sent = clock.now()
    transport.send_marker(QUEUE, rfc3339(sent))

    deadline = time.monotonic() + TIMEOUT
    while QueueMarker.objects.get().received_up_to != sent:
        assert time.monotonic() < deadline, "not received"
