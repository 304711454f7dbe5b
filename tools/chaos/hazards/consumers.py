"""Who walks into it."""

import datetime as dt
import os
import random
import signal
from uuid import UUID

from eventbus import Envelope, consumer
from eventbus.errors import GiveUp
from infra import clock

SHUT = dt.timedelta(seconds=1)


class Stumbled(Exception):
    """Next time it may go well."""


class Fell(GiveUp):
    """It was too early for {trap_id}."""


@consumer("hazards.StoneLaid", key="stone_id")
def stumble(stone_id: UUID) -> None:
    """Fail one time out of three."""
    if random.random() < 1 / 3:
        raise Stumbled(stone_id)


@consumer("hazards.TrapLaid", key="trap_id")
def fall(trap_id: UUID, envelope: Envelope) -> None:
    """Give up, for an operator to try again later."""
    if clock.now() - envelope.recorded_at < SHUT:
        raise Fell(trap_id=trap_id)


@consumer("hazards.PoisonLaid", key="poison_id")
def drink(poison_id: UUID) -> None:
    """Die."""
    os.kill(os.getpid(), signal.SIGKILL)
