"""Who walks into it."""

import os
import random
import signal
from uuid import UUID

from eventbus import consumer


class Stumbled(Exception):
    """Next time it may go well."""


@consumer("hazards.StoneLaid", key="stone_id")
def stumble(stone_id: UUID) -> None:
    """Fail one time out of three."""
    if random.random() < 1 / 3:
        raise Stumbled(stone_id)


@consumer("hazards.PoisonLaid", key="poison_id")
def drink(poison_id: UUID) -> None:
    """Die."""
    os.kill(os.getpid(), signal.SIGKILL)
