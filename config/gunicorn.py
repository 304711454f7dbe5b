"""The web process: `gunicorn -c config/gunicorn.py config.wsgi`."""

import signal
import threading
from types import FrameType
from typing import Any

# Read before any worker is: a wrong environment ends us, instead of one worker after another.
from config import settings

bind = f"{settings.HOST}:{settings.PORT}"
worker_class = "gthread"
threads = 8
workers = settings.WEB_CONCURRENCY
graceful_timeout = int(30 + settings.DRAIN_SECONDS)
accesslog = None
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Let SIGTERM fail readiness first, and end the worker only after the drain."""

    def drain(number: int, frame: FrameType | None) -> None:
        from config import health

        health.draining.set()
        end = threading.Timer(settings.DRAIN_SECONDS, worker.handle_exit, (number, frame))
        end.daemon = True
        end.start()

    signal.signal(signal.SIGTERM, drain)


def worker_exit(server: Any, worker: Any) -> None:
    """Let the embedded relay finish what is under way."""
    from eventbus import embedded

    embedded.stop()
