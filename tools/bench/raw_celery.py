"""Celery alone: a task per event, no outbox, no inbox. `tuned` keeps its connections."""

import os
from uuid import UUID

from celery import Celery

QUEUE = "bench_bare"

app = Celery("bare", set_as_current=False)
app.conf.update(
    broker_url=os.environ["BROKER_URL"],
    task_default_queue=QUEUE,
    task_ignore_result=True,
)
if os.environ.get("BENCH_TUNED"):
    app.conf.update(
        CELERY_DB_REUSE_MAX=1000,
        task_acks_late=True,
        worker_prefetch_multiplier=16,
    )
if os.environ["BROKER_URL"].startswith("amqp"):
    app.conf.update(
        task_default_queue_type="quorum",
        broker_transport_options={"confirm_publish": True},
        worker_detect_quorum_queues=True,
    )


@app.task(name="bare.sell")
def sell(checkout_id: str, stock_id: int, quantity: int, note: str) -> None:
    """Write the effect."""
    from benchshop import services
    from django.db import transaction

    with transaction.atomic():
        services.sell(UUID(checkout_id), stock_id, quantity)
