"""Transactions that are repeated when they conflict with another one.

PostgreSQL ends one of two transactions that deadlock (40P01), and one that cannot be serialized
(40001); SQLite refuses a writer that has waited too long. All are answers to "not now": the
transaction was rolled back as a whole, so its function can be called again.
"""

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import structlog
from django.db import connection, transaction

from infra.database_errors import is_conflict

log = structlog.get_logger(__name__)

ATTEMPTS = 6
_LONGEST_PAUSE = 0.02  # seconds after the first conflict; it doubles with each

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def atomic(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Run a function in a transaction, and again after a conflict unless it is a part of another.

    Like Django's `transaction.atomic` as a decorator. All effects of the function must be in the
    database, or begin on commit.
    """

    @wraps(function)
    def run(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
        def once() -> Result:
            with transaction.atomic():
                return function(*args, **named)

        return repeat_conflicts(once)

    return run


def repeat_conflicts(function: Callable[[], Result]) -> Result:
    """Call a function that is one transaction; call it again after a conflict, up to ATTEMPTS."""
    attempts = 1 if connection.in_atomic_block else ATTEMPTS
    for attempt in range(1, attempts):
        try:
            return function()
        except Exception as error:
            if not is_conflict(error):
                raise
            log.info("transaction repeated after a conflict", attempt=attempt, reason=str(error))
            time.sleep(random.uniform(0, _LONGEST_PAUSE * 2**attempt))
    return function()
