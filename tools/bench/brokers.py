"""The queues of the bench: a RabbitMQ keeps what a run that was cut short has left."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tools.bench import limit, raw_celery

CONTEXT = "benchroom"
NOBODY = "bench_nobody"
QUEUES = (
    CONTEXT,
    NOBODY,
    limit.QUEUE,
    *(f"{raw_celery.QUEUE}{of}" for of in ("", "_celery", "_tuned")),
)


def empty() -> None:
    """Forget the messages of every queue."""
    _each(lambda channel, queue: channel.queue_purge(queue))


def remove() -> None:
    """Leave nothing behind."""
    _each(lambda channel, queue: channel.queue_delete(queue))
    _each(lambda channel, queue: channel.exchange_delete(queue))


def _each(do: Callable[[Any, str], object]) -> None:
    for queue in QUEUES:
        # A connection each: to name a queue that is not there closes the channel.
        with raw_celery.app.connection_for_write() as link, suppress(*link.channel_errors):
            do(link.default_channel, queue)
