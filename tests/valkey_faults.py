"""Failures of a Valkey that last as long as a block."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from tools.devserver.servers import Valkey


@contextmanager
def configured(valkey: Valkey, name: str, value: str, usual: str) -> Iterator[None]:
    with Redis.from_url(valkey.url) as client:
        client.config_set(name, value)
        try:
            yield
        finally:
            client.config_set(name, usual)


@contextmanager
def read_only(valkey: Valkey) -> Iterator[None]:
    with Redis.from_url(valkey.url) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            yield
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def frozen(valkey: Valkey) -> Iterator[None]:
    os.kill(valkey.process.pid, signal.SIGSTOP)
    yield
    os.kill(valkey.process.pid, signal.SIGCONT)


@contextmanager
def restarted_empty(valkey: Valkey) -> Iterator[None]:
    with Redis.from_url(valkey.url) as client:
        client.flushall()
    valkey.kill()
    yield
    valkey.start()


@contextmanager
def out_of_memory(valkey: Valkey) -> Iterator[None]:
    with configured(valkey, "maxmemory", "1", "0"):
        yield


@contextmanager
def without_replicas(valkey: Valkey) -> Iterator[None]:
    with configured(valkey, "min-replicas-to-write", "1", "0"):
        yield
