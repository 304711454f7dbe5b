"""The one Celery task. Celery is the legs; the database is the memory."""

import datetime as dt
import time
from typing import Any

import msgspec
import structlog
from celery import Task, shared_task
from celery.exceptions import Reject
from django.db import Error, connection
from django.db.models import Q

from eventbus.consuming import delivery
from eventbus.models import QueueMarker
from infra.failpoints import reach

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
    self: "Task[Any, Any]",
    dispatch: int,
    consumer: str,
    events: str,
    suspect: bool = False,
) -> None:
    """Deliver a message. It is acknowledged only once every outcome is stored.

    `events` is a CloudEvents JSON batch in one string: fifty are read in a fraction of the time.
    """
    try:
        again = (self.request.delivery_info or {}).get("redelivered", False)
        told = msgspec.json.decode(events)
        delivery.deliver(dispatch, consumer, told, suspect or bool(again))
        reach("committed-not-acked")
    except Error as away:
        connection.close()
        if not self.request.called_directly:
            log.warning(
                "database unreachable, message returned", consumer=consumer, error=str(away)
            )
            time.sleep(DATABASE_PAUSE)
            raise Reject(str(away), requeue=True) from away
        raise


@shared_task(name="eventbus.queue_marker", ignore_result=True)
def receive_marker(queue: str, sent_at: str) -> None:
    """Note that the tick sent then has come through the queue; ticks may overtake each other."""
    sent = dt.datetime.fromisoformat(sent_at)
    unheard = Q(received_up_to=None) | Q(received_up_to__lt=sent)
    QueueMarker.objects.filter(unheard, queue=queue).update(received_up_to=sent)
