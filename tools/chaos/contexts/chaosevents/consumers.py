"""Consumers that fail."""

import datetime as dt
import os
import random
import signal
import sys
import time
from asyncio import CancelledError
from collections.abc import Callable
from uuid import UUID

from django.db import connection, transaction

from eventbus import Envelope, consumer
from eventbus.errors import GiveUp
from infra import clock

EARLY = dt.timedelta(seconds=1)


class TemporaryFailure(Exception):
    """Another attempt may succeed."""


class TooEarly(GiveUp):
    """It was too early for {work_id}."""


@consumer("chaosevents.FlakyWorkRequested", key="work_id")
def fail_sometimes(work_id: UUID) -> None:
    """Fail one time out of three."""
    if random.random() < 1 / 3:
        raise TemporaryFailure(work_id)


@consumer("chaosevents.EarlyWorkRequested", key="work_id")
def give_up_early(work_id: UUID, envelope: Envelope) -> None:
    """Give up, for an operator to retry later."""
    if clock.now() - envelope.recorded_at < EARLY:
        raise TooEarly(work_id=work_id)


@consumer("chaosevents.CrashRequested", key="work_id")
def crash(work_id: UUID) -> None:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)


class Misbehaved(GiveUp):
    """Gave up: {kind}."""


@consumer("chaosevents.MisbehaviourRequested", key="work_id")
def misbehave(work_id: UUID, kind: str) -> None:
    """Do something wrong half of the time."""
    if random.random() < 1 / 2:
        MISBEHAVIOURS[kind]()


def fail(error: BaseException) -> None:
    """Raise it."""
    raise error


def execute(statement: str) -> None:
    """Execute a statement on the connection of the bus."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


MISBEHAVIOURS: dict[str, Callable[[], object]] = {
    "raise": lambda: fail(TemporaryFailure()),
    "system-exit": lambda: sys.exit(1),
    "cancel": lambda: fail(CancelledError()),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "rollback-by-hand": lambda: execute("ROLLBACK"),
    "commit-by-hand": lambda: execute("COMMIT"),
    "set-rollback": lambda: transaction.set_rollback(True),
    "close": connection.close,
    "nul": lambda: fail(TemporaryFailure("a \x00 in it")),
    "surrogate": lambda: fail(TemporaryFailure("a \ud800 in it")),
    "give-up": lambda: fail(Misbehaved(kind="give-up")),
    "huge-error": lambda: fail(TemporaryFailure("x" * 20_000_000)),
    "sleep": lambda: time.sleep(3600),
    "memory-error": lambda: fail(MemoryError()),
    "setting": lambda: execute("SET default_transaction_read_only TO on"),
}
