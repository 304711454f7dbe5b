"""A verb that takes long goes on after its page has answered: in a thread of the same process.

Its action tells how far it is. A process that ends takes it along: the action stays without an
end, and the same verb again does the rest.
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

PATIENCE = 2.0  # seconds that a page waits for a verb to end


def run_in_background(verb: Callable[[], Result]) -> Result | None:
    """Do something, and return what came of it; None where it is still under way after a while.

    Raises what the verb raises, in that time.
    """
    if connection.in_atomic_block:  # a thread would not see what is not committed
        return verb()
    outcome: Future[Result] = Future()
    Thread(target=_do, args=(verb, outcome), name="verb", daemon=True).start()
    return outcome.result() if wait([outcome], PATIENCE).done else None


def _do(verb: Callable[[], Result], outcome: "Future[Result]") -> None:
    try:
        with closing(connection):
            result = verb()
    except Exception as trouble:
        log.exception("a verb was cut off")
        outcome.set_exception(trouble)
    else:
        outcome.set_result(result)
