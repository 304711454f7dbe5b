"""A control command that blocks a worker: its main loop runs it."""

import time
from pathlib import Path
from typing import Any

from celery.worker.control import control_command


@control_command(args=[("file", str)])
def block(state: Any, file: str) -> None:
    """Block the loop for as long as the file is there."""
    while Path(file).exists():
        time.sleep(0.05)
