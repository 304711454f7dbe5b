"""Celery: one task, one queue per context (`celery -A config worker -Q inventory`)."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_process_init

from config import workers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("kabar")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["eventbus"])
app.steps["consumer"].add(workers.Heartbeat)


@setup_logging.connect
def _keep_our_logging(**kwargs: Any) -> None:
    """Leave logging as Django's settings made it."""


@worker_init.connect
def _check(**kwargs: Any) -> None:
    """Refuse to start where rooms misunderstand each other: Celery ignores Django's checks."""
    from eventbus.checks import enforce
    from eventbus.errors import ContractsBroken

    try:
        enforce()
    except ContractsBroken as broken:
        # Any other exception would be logged by Celery's signal, and the worker would go on.
        raise SystemExit(str(broken)) from broken


@worker_process_init.connect
def _trace(**kwargs: Any) -> None:
    from config.telemetry import start

    start()
