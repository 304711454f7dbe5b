"""The queues of the benchmark, emptied and deleted: RabbitMQ keeps those of interrupted runs."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tools.bench import limit, raw_celery

CONTEXT = "benchshop"
UNUSED_QUEUE = "bench_unused"
QUEUES = (
    CONTEXT,
    UNUSED_QUEUE,
    limit.QUEUE,
    *(f"{raw_celery.QUEUE}{of}" for of in ("", "_celery", "_tuned")),
)


def empty() -> None:
    """Delete the messages of every queue."""
    _each(lambda channel, queue: channel.queue_purge(queue))


def delete() -> None:
    """Delete all queues and exchanges."""
    _each(lambda channel, queue: channel.queue_delete(queue))
    _each(lambda channel, queue: channel.exchange_delete(queue))


def _each(do: Callable[[Any, str], object]) -> None:
    for queue in QUEUES:
        # A connection each: the error of a missing queue closes the channel.
        with raw_celery.app.connection_for_write() as link, suppress(*link.channel_errors):
            do(link.default_channel, queue)
