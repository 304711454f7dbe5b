"""The broker of a chaos test: one of its own, which may be emptied and disconnected."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from amqp.exceptions import NotFound
from kombu import Connection, Queue
from redis import Redis

from tools.chaos.cluster import CONTEXTS, EXTERNAL_CONTEXTS
from tools.devserver.servers import Valkey

RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"


class Broker(Protocol):
    """A broker that faults can hit."""

    url: str
    description: str

    def empty(self) -> None:
        """Delete all messages."""

    def restart(self) -> bool:
        """Break all connections; False where other users would be hit."""

    def refuse_writes(self, how: str, seconds: float) -> bool:
        """Be "read-only" or "full" for so long; False where other users would be hit."""

    def freeze(self, seconds: float) -> bool:
        """Stop the server for so long; False where other users would be hit."""

    def messages(self) -> dict[str, int]:
        """Return the number of messages of each queue that is not empty."""


class ValkeyBroker:
    """A server for this test alone."""

    description = "Valkey of its own; emptied by FLUSHALL, restarted by SIGKILL"

    def __init__(self, server: Valkey) -> None:
        self.server, self.url = server, server.broker_url

    def empty(self) -> None:
        """Delete all keys, unacknowledged messages included."""
        with Redis.from_url(self.server.url) as client:
            client.flushall()

    def restart(self) -> bool:
        """Kill the server, and start it from its append-only file."""
        self.server.kill()
        self.server.start()
        return True

    def refuse_writes(self, how: str, seconds: float) -> bool:
        """Make it a replica of a server that does not exist, or let no memory be left."""
        begin, end = {
            "read-only": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
            "full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        }[how]
        with Redis.from_url(self.server.url) as client:
            client.execute_command(*begin)
            time.sleep(seconds)
            client.execute_command(*end)
        return True

    def freeze(self, seconds: float) -> bool:
        """Stop the process by SIGSTOP."""
        if self.server.process is None:
            return False
        os.kill(self.server.process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self.server.process.pid, signal.SIGCONT)
        return True

    def messages(self) -> dict[str, int]:
        """Count Celery's queues, and messages not acknowledged."""
        with Redis.from_url(self.server.url) as client:
            found = {queue: int(client.llen(queue)) for queue in (*CONTEXTS, *EXTERNAL_CONTEXTS)}
            found["unacknowledged"] = int(client.hlen("unacked"))
        return {place: count for place, count in found.items() if count}


class RabbitBroker:
    """A virtual host on a RabbitMQ that is never restarted, as it may have other users."""

    def __init__(self, url: str, own: str) -> None:
        self.url, self.own = url, own
        self.description = (
            f"RabbitMQ, virtual host {own} of its own; purged, connections cut"
            if own
            else "RabbitMQ, a virtual host shared with others; the contexts' queues purged"
        )

    def empty(self) -> None:
        """Purge the queues; messages already at a worker stay there."""
        with Connection(self.url) as connection:
            for queue in (*CONTEXTS, *EXTERNAL_CONTEXTS):
                with suppress(NotFound), connection.channel() as channel:
                    Queue(queue, channel=channel).purge()

    def restart(self) -> bool:
        """Close all connections of the virtual host."""
        cut = ("close_all_connections", "--vhost", self.own, "chaos test")
        return bool(self.own) and _control(*cut)

    @contextmanager
    def deleted(self) -> Iterator[None]:
        """Delete the virtual host with its queues, and make it again, empty."""
        _control("delete_vhost", self.own)
        try:
            yield
        finally:
            _make(self.url, self.own)

    def refuse_writes(self, how: str, seconds: float) -> bool:
        """Do nothing: an alarm blocks the publishers of all virtual hosts."""
        return False

    def freeze(self, seconds: float) -> bool:
        """Do nothing: the server has other users."""
        return False

    def messages(self) -> dict[str, int]:
        """Count messages that wait; RabbitMQ does not count unacknowledged ones here."""
        found = {}
        with Connection(self.url) as connection:
            for queue in (*CONTEXTS, *EXTERNAL_CONTEXTS):
                with suppress(NotFound), connection.channel() as channel:
                    declared: Any = Queue(queue, channel=channel).queue_declare(passive=True)
                    found[queue] = int(declared.message_count)
        return {queue: count for queue, count in found.items() if count}


@contextmanager
def rabbitmq() -> Iterator[RabbitBroker]:
    """Yield a virtual host that is deleted afterwards, or the shared one without rabbitmqctl."""
    url = os.environ.get("RABBITMQ_URL") or RABBITMQ
    own = f"kabar_chaos_{os.getpid()}"
    if not _make(url, own):
        yield RabbitBroker(url, "")
        return
    try:
        yield RabbitBroker(urlunsplit(urlsplit(url)._replace(path=f"/{own}")), own)
    finally:
        _control("delete_vhost", own)


def _make(url: str, own: str) -> bool:
    user = urlsplit(url).username or "guest"
    made = _control("add_vhost", own)
    return made and _control("set_permissions", "-p", own, user, ".*", ".*", ".*")


def _control(*command: str) -> bool:
    if not shutil.which("rabbitmqctl"):
        return False
    done = subprocess.run(["rabbitmqctl", "-q", *command], capture_output=True, check=False)
    return done.returncode == 0
