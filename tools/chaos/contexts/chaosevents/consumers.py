"""Consumers that fail."""

import datetime as dt
import os
import random
import signal
import sys
import time
from asyncio import CancelledError
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from chaosevents.events import WorkDone
from eventbus import Envelope, consumer, publish
from eventbus.errors import GiveUp
from infra import clock

EARLY = dt.timedelta(seconds=1)
# Without a broker no time limit ends a handler.
SLEEP_SECONDS = 3600.0 if settings.BROKER_URL else 10.0


class TemporaryFailure(Exception):
    """Another attempt may succeed."""


class TooEarly(GiveUp):
    """It was too early for {work_id}."""


if os.environ.get("CHAOS_RELEASE") == "renamed":

    @consumer(
        "chaosevents.FlakyWorkRequested",
        key="work_id",
        renamed_from="chaosevents.fail_sometimes",
    )
    def work_unreliably(work_id: UUID) -> None:
        """Fail one time out of three; its name is of another release."""
        report(work_id, "renamed")
        work(work_id)

else:

    @consumer("chaosevents.FlakyWorkRequested", key="work_id")
    def fail_sometimes(work_id: UUID) -> None:
        """Fail one time out of three."""
        work(work_id)


def work(work_id: UUID) -> None:
    """Publish that the work was done, and fail one time out of three."""
    publish(WorkDone(work_id=work_id))
    if random.random() < 1 / 3:
        raise TemporaryFailure(work_id)


def report(work_id: UUID, kind: str) -> bool:
    """Create a file, so that the test sees the fault; return whether it is the first time."""
    file = Path(settings.VAR, "reached", kind, str(work_id))
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@consumer("chaosevents.EarlyWorkRequested", key="work_id")
def give_up_early(work_id: UUID, envelope: Envelope) -> None:
    """Give up, for an operator to retry later."""
    if clock.now() - envelope.recorded_at < EARLY:
        raise TooEarly(work_id=work_id)


@consumer("chaosevents.CrashRequested", key="work_id")
def crash(work_id: UUID) -> None:
    """Kill the process."""
    report(work_id, "poison")
    os.kill(os.getpid(), signal.SIGKILL)


class Misbehaved(GiveUp):
    """Gave up: {kind}."""


@consumer("chaosevents.MisbehaviourRequested", key="work_id")
def misbehave(work_id: UUID, kind: str) -> None:
    """Do something wrong at the first delivery, after the effect."""
    if kind != "commit-by-hand":  # its effect would be saved, and it is a dead letter all the same
        publish(WorkDone(work_id=work_id))
    if report(work_id, kind):
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
    "sleep": lambda: time.sleep(SLEEP_SECONDS),
    "memory-error": lambda: fail(MemoryError()),
    "setting": lambda: execute("SET default_transaction_read_only TO on"),
}
