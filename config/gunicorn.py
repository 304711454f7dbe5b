"""The web process: `gunicorn -c config/gunicorn.py config.wsgi`."""

import signal
import threading
from mmap import mmap
from types import FrameType
from typing import Any

# Imported before any worker starts, so that a wrong environment ends gunicorn itself.
from config import settings

bind = f"{settings.HOST}:{settings.PORT}"
worker_class = "gthread"
threads = 8
workers = settings.WEB_CONCURRENCY
# Seconds that new workers have to start in while the old ones still serve.
OVERLAP = 5.0
graceful_timeout = int(30 + max(settings.DRAIN_SECONDS, OVERLAP))
accesslog = None
control_socket_disable = True


def pre_fork(server: Any, worker: Any) -> None:
    """Share one flag among the workers of a generation: that they are replaced."""
    if not hasattr(server, "replaced"):
        server.replaced = mmap(-1, 1)
    worker.replaced = server.replaced


def on_reload(server: Any) -> None:
    """Mark the running workers as replaced; SIGHUP starts new workers before it ends them."""
    server.replaced[0] = 1
    del server.replaced


def post_worker_init(worker: Any) -> None:
    """Let SIGTERM fail readiness first, and end the worker only after the drain."""

    def drain(number: int, frame: FrameType | None) -> None:
        from config import health

        wait = settings.DRAIN_SECONDS
        if worker.replaced[0]:
            wait = max(wait, OVERLAP)  # and the deployment stays ready
        else:
            health.draining.set()
        end = threading.Timer(wait, worker.handle_exit, (number, frame))
        end.daemon = True
        end.start()

    signal.signal(signal.SIGTERM, drain)


def worker_exit(server: Any, worker: Any) -> None:
    """Let the embedded relay finish its current batch."""
    from eventbus.relay import embedded

    embedded.stop()
