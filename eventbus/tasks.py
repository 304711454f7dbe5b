"""The one Celery task. Celery is the legs; the database is the memory."""

import time
from collections.abc import Sequence
from typing import Any

import structlog
from celery import Task, shared_task
from celery.exceptions import Reject
from django.db import Error, connection

from eventbus import delivery

log = structlog.get_logger(__name__)

DATABASE_PAUSE = 1.0  # seconds before a message is given back while the database is away


@shared_task(
    name="eventbus.deliver",
    bind=True,
    ignore_result=True,
    acks_late=True,
    reject_on_worker_lost=True,
    acks_on_failure_or_timeout=False,
)
def deliver(
    self: "Task[Any, Any]", flight: int, consumer: str, events: Sequence[dict[str, Any]]
) -> None:
    """Deliver a message. It is acknowledged only once every outcome is stored."""
    try:
        delivery.deliver(flight, consumer, events)
    except Error as away:
        connection.close()
        if not self.request.called_directly:
            log.warning("database away, message given back", consumer=consumer, error=str(away))
            time.sleep(DATABASE_PAUSE)
            raise Reject(str(away), requeue=True) from away
        raise
