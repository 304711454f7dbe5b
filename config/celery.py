"""Celery: one task, one queue per context (`celery -A config worker -Q inventory`)."""

import os
from typing import Any

from celery import Celery
from celery.app import amqp
from celery.signals import setup_logging, worker_init, worker_process_init
from django.conf import settings

from config import worker_health

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# A message whose outcome cannot be stored is returned to the queue each second: this is more than a
# day without a database. By default RabbitMQ 4 drops it after 20 returns, and it is sent again as
# lost. Messages that kill their workers end much earlier, by the count of their deliveries.
DELIVERY_LIMIT = 100_000

# Celery would take a RabbitMQ on this machine, and wait there for ever.
NO_BROKER = "No broker is configured, so the web process delivers the events. Set BROKER_URL."


class Queues(amqp.Queues):
    """A queue for each context; a worker without -Q takes all. On RabbitMQ with DELIVERY_LIMIT."""

    def __init__(self, queues: Any = None, *args: Any, **options: Any) -> None:
        super().__init__(None, *args, **options)
        for context in settings.CONTEXTS:
            self.add(self.new_missing(context))
        self._default_consume_from = dict(self)

    def new_missing(self, name: str) -> Any:
        """Describe a queue; only a quorum queue has arguments."""
        queue: Any = super().new_missing(name)
        if queue.queue_arguments:
            queue.queue_arguments["x-delivery-limit"] = DELIVERY_LIMIT
        return queue


class AMQP(amqp.AMQP):
    """Celery's AMQP, with these queues."""

    queues_cls = Queues


app = Celery("kabar", amqp=AMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["eventbus.consuming"])
app.steps["consumer"].add(worker_health.HeartbeatStep)


@setup_logging.connect
def _keep_our_logging(**kwargs: Any) -> None:
    """Keep the logging of Django's settings."""


@worker_init.connect
def _check(**kwargs: Any) -> None:
    """Refuse to start without a broker, or with broken contracts: Celery checks neither."""
    from eventbus.checks import enforce
    from eventbus.errors import ContractsBroken

    if not app.conf.broker_url:
        raise SystemExit(NO_BROKER)
    try:
        enforce()
    except ContractsBroken as broken:
        # Any other exception would be logged by Celery's signal, and the worker would go on.
        raise SystemExit(str(broken)) from broken


@worker_process_init.connect
def _prepare_child(**kwargs: Any) -> None:
    from config.telemetry import start
    from infra import database_session

    start()
    database_session.lift_limits_in_this_process()
