"""Failpoints: places where a test may kill the process, to prove that nothing is lost.

They do nothing unless KABAR_FAILPOINTS names a folder. A file in it with a failpoint's name kills
(SIGKILL) the process that reaches the place; the file is deleted first, so only one process dies.
"""

import os
import signal
from pathlib import Path

NAMES = (
    "outbox-written",  # after the outbox insert, before the commit
    "committed-not-notified",  # after the commit, before the relay is notified
    "claimed-not-sent",
    "sent-not-confirmed",
    "received-not-begun",
    "handled-not-committed",  # in the handler's transaction, after its effect
    "committed-not-acked",
    "retry-moved",  # a failure is recorded, not yet committed
    "dead-letters-retried",
    "retention",  # a part of the log is in a file, and still in the log
    "month-emptied",  # a month of the log is in files, and its partition is empty
)
_FOLDER = os.environ.get("KABAR_FAILPOINTS", "")


def reach(name: str) -> None:
    """Kill this process if a test has armed the failpoint."""
    if _FOLDER:
        _kill_if_armed(name)


def _kill_if_armed(name: str) -> None:
    try:
        Path(_FOLDER, name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
