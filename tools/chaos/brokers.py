"""The broker of a storm: one of its own, so that it may be emptied and cut off."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from amqp.exceptions import NotFound
from kombu import Connection, Queue
from redis import Redis

from tools.chaos.cluster import CONTEXTS, OUTSIDE
from tools.devserver.servers import Valkey

RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"


class Broker(Protocol):
    """What a storm does to a broker."""

    url: str
    told: str

    def empty(self) -> None:
        """Lose all messages."""

    def restart(self) -> bool:
        """Be away for a moment, where that harms nobody else."""

    def holds(self) -> dict[str, int]:
        """Return how many messages are where; nothing where it is empty."""


class ValkeyBroker:
    """A server of the storm's own."""

    told = "Valkey of its own; emptied by FLUSHALL, restarted by SIGKILL"

    def __init__(self, server: Valkey) -> None:
        self.server, self.url = server, server.broker_url

    def empty(self) -> None:
        """Forget everything, what is being worked on too."""
        with Redis.from_url(self.server.url) as client:
            client.flushall()

    def restart(self) -> bool:
        """Die, and come back with what the append-only file has."""
        self.server.kill()
        self.server.start()
        return True

    def holds(self) -> dict[str, int]:
        """Count the lists of Celery's queues, and what workers have not acknowledged."""
        with Redis.from_url(self.server.url) as client:
            found = {queue: int(client.llen(queue)) for queue in (*CONTEXTS, *OUTSIDE)}
            found["unacknowledged"] = int(client.hlen("unacked"))
        return {place: count for place, count in found.items() if count}


class RabbitBroker:
    """A virtual host on a RabbitMQ that others use too: so it is never restarted."""

    def __init__(self, url: str, own: str) -> None:
        self.url, self._own = url, own
        self.told = (
            f"RabbitMQ, virtual host {own} of its own; purged, connections cut"
            if own
            else "RabbitMQ, a virtual host shared with others; the contexts' queues purged"
        )

    def empty(self) -> None:
        """Purge the queues; what a worker holds already stays with it."""
        with Connection(self.url) as connection:
            for queue in (*CONTEXTS, *OUTSIDE):
                with suppress(NotFound), connection.channel() as channel:
                    Queue(queue, channel=channel).purge()

    def restart(self) -> bool:
        """Cut everybody off."""
        cut = ("close_all_connections", "--vhost", self._own, "a storm")
        return bool(self._own) and _control(*cut)

    def holds(self) -> dict[str, int]:
        """Count what waits; what workers have not acknowledged is not told."""
        found = {}
        with Connection(self.url) as connection:
            for queue in (*CONTEXTS, *OUTSIDE):
                with suppress(NotFound), connection.channel() as channel:
                    declared: Any = Queue(queue, channel=channel).queue_declare(passive=True)
                    found[queue] = int(declared.message_count)
        return {queue: count for queue, count in found.items() if count}


@contextmanager
def rabbitmq() -> Iterator[RabbitBroker]:
    """Yield a virtual host that goes with the storm, where one may be made."""
    url = os.environ.get("RABBITMQ_URL") or RABBITMQ
    own = f"kabar_storm_{os.getpid()}"
    user = urlsplit(url).username or "guest"
    if not _control("add_vhost", own):
        yield RabbitBroker(url, "")
        return
    _control("set_permissions", "-p", own, user, ".*", ".*", ".*")
    try:
        yield RabbitBroker(urlunsplit(urlsplit(url)._replace(path=f"/{own}")), own)
    finally:
        _control("delete_vhost", own)


def _control(*command: str) -> bool:
    if not shutil.which("rabbitmqctl"):
        return False
    done = subprocess.run(["rabbitmqctl", "-q", *command], capture_output=True, check=False)
    return done.returncode == 0
