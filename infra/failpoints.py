"""Places where a process may be killed on purpose, to prove that it does not matter.

Nothing happens unless KABAR_FAILPOINTS names a folder. A file in it with a failpoint's name kills
the process that reaches the place (SIGKILL); the file goes first, so that one process dies.
"""

import os
import signal
from pathlib import Path

NAMES = (
    "outbox-written",  # after the outbox insert, before the commit
    "committed-not-kicked",  # after the commit, before the relay is woken
    "claimed-not-sent",
    "sent-not-confirmed",
    "received-not-begun",
    "handled-not-committed",  # in the handler's transaction, after its effect
    "committed-not-acked",
    "retry-moved",  # a failure is written down, not yet committed
    "dead-letters-retried",
    "retention",  # a part of the log is in a file, and still in the log
)
_FOLDER = os.environ.get("KABAR_FAILPOINTS", "")


def reach(name: str) -> None:
    """Die here, where that is asked for."""
    if _FOLDER:
        _die(name)


def _die(name: str) -> None:
    try:
        Path(_FOLDER, name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
