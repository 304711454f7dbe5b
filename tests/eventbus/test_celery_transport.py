"""The transport over Celery reports an unreachable broker soon."""

import time

import pytest
from celery import current_app

from eventbus.errors import BrokerUnreachable
from eventbus.relay.transports import Message
from eventbus.relay.transports.celery import Celery

UNREACHABLE = ["redis://127.0.0.1:9/0", "amqp://guest:guest@127.0.0.1:9//"]


@pytest.mark.parametrize("url", UNREACHABLE)
def test_an_unreachable_broker_is_reported_within_its_time_limit(monkeypatch, url):
    monkeypatch.setattr(current_app.conf, "broker_url", url)
    monkeypatch.setattr(current_app.conf, "broker_write_url", url)
    transport, began = Celery(), time.monotonic()

    for send in (
        lambda: transport.send([Message(1, "orders.listen", "[]", 0)]),
        lambda: transport.send_marker("orders", "2026-01-01T00:00:00Z"),
    ):
        with pytest.raises(BrokerUnreachable, match="Nothing is lost"):
            send()

    assert time.monotonic() - began < 30
    transport.close()
