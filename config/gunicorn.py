"""The web process: `gunicorn -c config/gunicorn.py config.wsgi`."""

import signal
import threading
from mmap import mmap
from types import FrameType
from typing import Any

import environ

env = environ.FileAwareEnv()

bind = f"{env.str('HOST', '127.0.0.1')}:{env.int('PORT', 8000)}"
worker_class = "gthread"
threads = 8
# Without a broker the relay lives in the web process, so one process is the house.
workers = env.int("WEB_CONCURRENCY", 2 if env.str("BROKER_URL", "") else 1)
# How long balancers may take to notice that readiness fails; requests are served meanwhile.
drain_seconds = env.float("DRAIN_SECONDS", 0.0)
# Seconds that new workers have to start in while the old ones still serve.
OVERLAP = 5.0
graceful_timeout = int(30 + max(drain_seconds, OVERLAP))
accesslog = None
control_socket_disable = True


def pre_fork(server: Any, worker: Any) -> None:
    """Give the workers of a generation a word in common: that others have taken their place."""
    if not hasattr(server, "replaced"):
        server.replaced = mmap(-1, 1)
    worker.replaced = server.replaced


def on_reload(server: Any) -> None:
    """Say it to those who are there; SIGHUP starts others first, and ends them then."""
    server.replaced[0] = 1
    del server.replaced


def post_worker_init(worker: Any) -> None:
    """Let SIGTERM fail readiness first, and end the worker only after the drain."""

    def drain(number: int, frame: FrameType | None) -> None:
        from config import health

        wait = drain_seconds
        if worker.replaced[0]:
            wait = max(wait, OVERLAP)  # and the house stays ready
        else:
            health.draining.set()
        end = threading.Timer(wait, worker.handle_exit, (number, frame))
        end.daemon = True
        end.start()

    signal.signal(signal.SIGTERM, drain)


def worker_exit(server: Any, worker: Any) -> None:
    """Let the embedded relay finish what is under way."""
    from eventbus import embedded

    embedded.stop()
