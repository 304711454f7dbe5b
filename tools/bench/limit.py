"""The limit: a hand-written loop with raw SQL, without Celery and retries.

`python -m tools.bench.limit relay` or `… consume`. The handler is the same Django handler.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Protocol

import amqp
import redis
from kombu import Connection

QUEUE = "bench_limit"
CLAIM = """
WITH claimed AS (
    DELETE FROM eventbus_outbox WHERE id IN (
        SELECT id FROM eventbus_outbox ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
    ) RETURNING event_id
) SELECT e.id, e.name, e.payload::text FROM claimed JOIN eventbus_event e ON e.id = claimed.event_id
"""
TAKE = "INSERT INTO benchshop_seen SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING RETURNING 1"


class Pipe(Protocol):
    """A queue of the broker, used in the fastest way."""

    def put(self, messages: Sequence[str]) -> None:
        """Send all, and return when the broker has them."""

    def get(self) -> str | bytes:
        """Wait for a message."""

    def done(self) -> None:
        """Acknowledge the message got last."""


class ValkeyPipe:
    """A list, by pipelined LPUSH and BRPOP."""

    def __init__(self, url: str) -> None:
        # No timeout: the process is stopped while others are measured.
        self._redis = redis.Redis.from_url(valkey(url), socket_timeout=None)

    def put(self, messages: Sequence[str]) -> None:
        """Send all in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for message in messages:
            pipeline.lpush(QUEUE, message)
        pipeline.execute()

    def get(self) -> str | bytes:
        """Wait for a message."""
        got: Any = None
        while got is None:
            got = self._redis.brpop([QUEUE], 5)
        return bytes(got[1])

    def done(self) -> None:
        """BRPOP has removed it already."""


class RabbitPipe:
    """A quorum queue, by basic_publish with pipelined confirms."""

    def __init__(self, url: str) -> None:
        self._connection = Connection(url)
        self._channel = _channel(self._connection)
        self._channel.queue_declare(
            QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )
        self._channel.confirm_select()
        self._pending: set[int] = set()
        self._tag = 0
        self._channel.events["basic_ack"].add(self._confirmed)
        self._inbox: list[Any] = []
        self._consuming = False

    def put(self, messages: Sequence[str]) -> None:
        """Send all, then wait for all confirms."""
        for body in messages:
            self._tag += 1
            self._pending.add(self._tag)
            self._channel.basic_publish(
                amqp.Message(body, delivery_mode=2), exchange="", routing_key=QUEUE
            )
        while self._pending:
            self._connection.drain_events(timeout=10)

    def get(self) -> str | bytes:
        """Wait for a message."""
        if not self._consuming:
            self._channel.basic_qos(0, 2, False)
            self._channel.basic_consume(QUEUE, callback=self._inbox.append)
            self._consuming = True
        while not self._inbox:
            self._connection.drain_events()
        self._last = self._inbox.pop(0)
        body: str | bytes = self._last.body
        return body

    def done(self) -> None:
        self._channel.basic_ack(self._last.delivery_tag)

    def _confirmed(self, tag: int, multiple: bool) -> None:
        self._pending = {t for t in self._pending if t > tag} if multiple else self._pending - {tag}


def _channel(connection: Connection) -> Any:
    return connection.default_channel


def valkey(broker_url: str) -> str:
    """Return Celery's URL of a Valkey as a URL for redis-py."""
    return broker_url.replace("redis+socket", "unix").replace("virtual_host", "db")


def pipe() -> Pipe:
    """Return a pipe to the broker at BROKER_URL."""
    url = os.environ["BROKER_URL"]
    return RabbitPipe(url) if url.startswith("amqp") else ValkeyPipe(url)


def relay_once(to: Pipe) -> int:
    """Claim, send, commit; return the number of events."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(CLAIM)
        events = [
            f'{{"id":"{id}","type":"{name}","data":{payload}}}' for id, name, payload in cursor
        ]
        batches = (events[at : at + 50] for at in range(0, len(events), 50))
        to.put([f"[{','.join(batch)}]" for batch in batches])
    return len(events)


def consume(message: str | bytes) -> None:
    """Handle a message in one transaction, sorted, so that two consumers cannot deadlock."""
    from benchshop import services
    from django.db import connection, transaction

    events = json.loads(message)
    events.sort(key=lambda event: event["data"]["stock_id"])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(TAKE, [[event["id"] for event in events]])
        assert cursor.rowcount == len(events)
        for event in events:
            data = event["data"]
            services.sell(data["checkout_id"], data["stock_id"], data["quantity"])


def main(role: str) -> None:
    """Run as relay or consumer until killed."""
    import django

    django.setup()
    through = pipe()
    while role == "relay":
        if not relay_once(through):
            time.sleep(0.002)
    while role == "consume":
        consume(through.get())
        through.done()


if __name__ == "__main__":
    main(sys.argv[1])
