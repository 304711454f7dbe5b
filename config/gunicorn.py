"""The web process: `gunicorn -c config/gunicorn.py config.wsgi`."""

import signal
import threading
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
graceful_timeout = int(30 + drain_seconds)
accesslog = None
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Let SIGTERM fail readiness first, and end the worker only after the drain."""

    def drain(number: int, frame: FrameType | None) -> None:
        from config import health

        health.draining.set()
        end = threading.Timer(drain_seconds, worker.handle_exit, (number, frame))
        end.daemon = True
        end.start()

    signal.signal(signal.SIGTERM, drain)


def worker_exit(server: Any, worker: Any) -> None:
    """Let the embedded relay finish what is under way."""
    from eventbus import embedded

    embedded.stop()
