"""The worker's consumer of messages: Celery's, without the steps that the bus has no use for."""

import time
from typing import Any

import structlog
from celery.worker.consumer import Consumer as CeleryConsumer

log = structlog.get_logger(__name__)

_Blueprint: Any = CeleryConsumer.Blueprint

# Between two attempts to reach a broker that answers with errors. Celery waits only where it cannot
# connect, and would try several times a millisecond.
RECONNECT_INTERVAL = 1.0  # seconds


class Consumer(CeleryConsumer):
    """Takes messages, and reconnects after every error of the broker.

    The bus sends nothing with an `eta`, so delayed delivery is left out: on a new virtual host of
    RabbitMQ it logs errors about queues that do not exist yet. Workers need not know of each other
    (mingle, gossip): looking for them takes a second at each start.
    """

    class Blueprint(_Blueprint):
        """Celery's steps without delayed delivery."""

        default_steps = [
            step for step in _Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        ]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options | {"without_mingle": True, "without_gossip": True})

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Log the error, and wait before the next attempt."""
        super().on_connection_error_before_connected(exc)
        time.sleep(RECONNECT_INTERVAL)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Log the error and drop the connection, also if that fails."""
        try:
            super().on_connection_error_after_connected(exc)
        except Exception:
            # kombu puts messages that are not acknowledged back into Redis, over a connection that
            # it has just cleared: an AttributeError, which would end the worker. The broker
            # delivers them again after the visibility time-out, and the inbox ignores duplicates.
            log.warning("broken connection not closed cleanly", exc_info=True)
