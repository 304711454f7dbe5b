"""The limit: a loop by hand, raw SQL, no Celery, no retries, nothing else.

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
WITH gone AS (
    DELETE FROM eventbus_outbox WHERE id IN (
        SELECT id FROM eventbus_outbox ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
    ) RETURNING event_id
) SELECT e.id, e.name, e.payload::text FROM gone JOIN eventbus_event e ON e.id = gone.event_id
"""
TAKE = "INSERT INTO benchroom_seen SELECT unnest(%s::uuid[]) ON CONFLICT DO NOTHING RETURNING 1"


class Pipe(Protocol):
    """A queue of the broker's, used as fast as it goes."""

    def put(self, messages: Sequence[str]) -> None:
        """Send all, and return when the broker has them."""

    def get(self) -> str | bytes:
        """Wait for a message."""

    def done(self) -> None:
        """Acknowledge the message got last."""


class ValkeyPipe:
    """A list, by pipelined LPUSH and BRPOP."""

    def __init__(self, url: str) -> None:
        # No time-out: it may be frozen for long while others have the stage.
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
        """A list forgets by itself."""


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
        """Acknowledge."""
        self._channel.basic_ack(self._last.delivery_tag)

    def _confirmed(self, tag: int, multiple: bool) -> None:
        self._pending = {t for t in self._pending if t > tag} if multiple else self._pending - {tag}


def _channel(connection: Connection) -> Any:
    return connection.default_channel


def valkey(broker_url: str) -> str:
    """Return Celery's address of a Valkey as redis-py takes it."""
    return broker_url.replace("redis+socket", "unix").replace("virtual_host", "db")


def pipe() -> Pipe:
    """Return a pipe to the broker that BROKER_URL names."""
    url = os.environ["BROKER_URL"]
    return RabbitPipe(url) if url.startswith("amqp") else ValkeyPipe(url)


def relay_once(to: Pipe) -> int:
    """Claim, send, commit; return how many events went."""
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
    """Handle a message in one transaction, sorted, so that two consumers do not deadlock."""
    from benchroom import services
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
    """Play a role until killed."""
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
