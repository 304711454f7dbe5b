"""Consumers that fail."""

import asyncio
import datetime as dt
import os
import random
import signal
from collections.abc import Callable
from functools import partial
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


def _exit() -> None:
    raise SystemExit(3)


def _cancel() -> None:
    raise asyncio.CancelledError


def _roll_back() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ROLLBACK")


def _commit() -> None:
    with connection.cursor() as cursor:
        cursor.execute("COMMIT")


def _fail_unprintably() -> None:
    raise TemporaryFailure("nul \0 and a lone surrogate \ud800")


def _leave_settings() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only TO on; CREATE TEMP TABLE left_behind ()")


MISBEHAVIOURS: list[Callable[[], object]] = [
    _exit,
    _cancel,
    _roll_back,
    _commit,
    _fail_unprintably,
    _leave_settings,
    connection.close,
    partial(transaction.set_rollback, True),
]


@consumer("chaosevents.MisbehaviourRequested", key="work_id")
def misbehave(work_id: UUID) -> None:
    """Misbehave in the way that the id selects."""
    MISBEHAVIOURS[work_id.int % len(MISBEHAVIOURS)]()
