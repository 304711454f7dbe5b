"""Health of a worker: /health/live and /health/ready at HEALTH_PORT.

The main process answers: it takes messages from the broker and hands them to its children.
"""

import os
from http.server import ThreadingHTTPServer
from typing import Any

from celery import bootsteps
from celery.signals import worker_init, worker_process_init, worker_shutting_down

from infra.heartbeat import Heartbeat

BEAT = 1.0  # seconds

heartbeat = Heartbeat()
_server: tuple[ThreadingHTTPServer, int] | None = None


class HeartbeatStep(bootsteps.StartStopStep):
    """Beats from the timer of the worker's own event loop, once it takes messages."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Begin to beat: the broker is reachable."""
        heartbeat.beat()
        self.timer = consumer.timer.call_repeatedly(BEAT, heartbeat.beat)

    def stop(self, consumer: Any) -> None:
        """Pause: the worker reconnects or ends, and its loop stands still for that."""
        self.timer.cancel()
        heartbeat.pause("broker unreachable")


@worker_init.connect
def _serve(**kwargs: Any) -> None:
    global _server
    from eventbus.conf import conf
    from infra import health

    heartbeat.blocked_after = conf().BLOCKED_AFTER
    heartbeat.pause("starting")
    if conf().HEALTH_PORT:
        server = health.serve(conf().HEALTH_PORT, heartbeat, conf().HEALTH_HOST)
        _server = (server, os.getpid())


@worker_process_init.connect
def _release_port(**kwargs: Any) -> None:
    """Close the port in a child, which may outlive the main process."""
    if _server and _server[1] != os.getpid():
        _server[0].socket.close()


@worker_shutting_down.connect
def _drain(**kwargs: Any) -> None:
    heartbeat.draining = True
