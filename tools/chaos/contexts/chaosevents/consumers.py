"""Consumers that fail."""

import datetime as dt
import os
import random
import signal
from uuid import UUID

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
