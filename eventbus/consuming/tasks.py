"""The Celery tasks. Celery only carries messages; all state is in the database."""

import datetime as dt
import time
from typing import Any

import msgspec
import structlog
from celery import Task, shared_task
from celery.exceptions import Reject
from django.db import connection
from django.db.models import Q

from eventbus.consuming import delivery
from eventbus.models import QueueMarker
from infra.database_errors import is_unreachable
from infra.failpoints import reach

log = structlog.get_logger(__name__)

REJECT_DELAY = 1.0  # seconds before a message is returned whose outcome was not recorded


@shared_task(
    name="eventbus.deliver",
    bind=True,
    ignore_result=True,
    acks_late=True,
    reject_on_worker_lost=True,
    acks_on_failure_or_timeout=False,
)
def deliver(
    self: "Task[Any, Any]",
    dispatch: int,
    consumer: str,
    events: str,
    suspect: bool = False,
) -> None:
    """Deliver a message. It is acknowledged only once every outcome is recorded.

    `events` is a CloudEvents JSON batch as text: decoding 50 at once takes a fraction of the time.
    """
    try:
        redelivered = (self.request.delivery_info or {}).get("redelivered", False)
        decoded = msgspec.json.decode(events)
        delivery.deliver(dispatch, consumer, decoded, suspect or bool(redelivered))
        reach("committed-not-acked")
    except Exception as error:
        connection.close()
        if self.request.called_directly:
            raise
        if is_unreachable(error):
            log.warning(
                "database unreachable, message returned", consumer=consumer, error=str(error)
            )
        else:
            log.exception("outcome not recorded, message returned", consumer=consumer)
        time.sleep(REJECT_DELAY)
        raise Reject(str(error), requeue=True) from error


@shared_task(name="eventbus.queue_marker", ignore_result=True)
def receive_marker(queue: str, sent_at: str) -> None:
    """Record that a marker has come through the queue; markers may overtake each other."""
    sent = dt.datetime.fromisoformat(sent_at)
    older = Q(received_up_to=None) | Q(received_up_to__lt=sent)
    QueueMarker.objects.filter(older, queue=queue).update(received_up_to=sent)
