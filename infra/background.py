"""Runs an operation in a thread, so that a page can answer before the operation ends.

The operation's audit record shows its progress. If the process ends, the operation is interrupted:
its record keeps an empty `ended_at`, and running it again does the rest.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import closing
from threading import Thread
from typing import TypeVar

import structlog
from django.db import connection

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

WAIT_SECONDS = 2.0  # for the result, before the page answers without it
THREAD_NAME = "operation"


def run_in_background(operation: Callable[[], Result]) -> Result | None:
    """Return the operation's result, or None if it is still running after two seconds.

    Raises the operation's error, if that comes within the two seconds.
    """
    if connection.in_atomic_block:  # a thread would not see uncommitted rows
        return operation()
    outcome: Future[Result] = Future()
    Thread(target=_run, args=(operation, outcome), name=THREAD_NAME, daemon=True).start()
    return outcome.result() if wait([outcome], WAIT_SECONDS).done else None


def _run(operation: Callable[[], Result], outcome: "Future[Result]") -> None:
    try:
        with closing(connection):
            result = operation()
    except Exception as error:
        log.exception("background operation failed")
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
