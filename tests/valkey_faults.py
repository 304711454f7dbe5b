"""Failures of a Valkey that last as long as a block."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from tools.devserver.child_process import spawn
from tools.devserver.servers import Valkey

COMMANDS = 30_000  # it answers after each 1,024
LOADS = 15.0  # seconds


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


@contextmanager
def loading(valkey: Valkey) -> Iterator[None]:
    """Start it anew with so many commands that it reads its file all along: it answers LOADING."""
    with (
        Redis.from_url(valkey.url, db=2) as client,
        client.pipeline(transaction=False) as commands,
    ):
        for number in range(COMMANDS):
            commands.set("counter", number)
        commands.execute()
    valkey.kill()
    valkey.process = spawn(
        [*valkey._prepare(), "--key-load-delay", str(int(1e6 * LOADS / COMMANDS))], signal.SIGTERM
    )
    yield
    with Redis.from_url(valkey.url) as client:
        assert client.info("persistence")["loading"] == 1, "it was loading all along"
    valkey._wait_for_answer(valkey.process)
