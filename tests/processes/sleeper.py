"""A control command that stands in a worker's way: its main loop runs it."""

import time
from typing import Any

from celery.worker.control import control_command


@control_command(args=[("seconds", float)])
def stand_still(state: Any, seconds: float) -> None:
    """Block the loop."""
    time.sleep(seconds)
