"""Settings of a PostgreSQL session that a server, database or role may have otherwise.

Applied by statements when a connection opens, not by libpq's `options`, which poolers refuse.
A setting that the server's version does not have is left out.
"""

import threading
from collections.abc import Mapping
from typing import Any

from django.db import connection

# The code relies on these, in each process.
REQUIRED = {
    "default_transaction_isolation": "read committed",  # a repeated mark waits, and does not fail
    "DateStyle": "ISO, MDY",  # psycopg reads no other
    "IntervalStyle": "postgres",
    "jit": "off",  # compiling a plan takes longer than running one of ours
}
# A delivery may wait for another one of its key, and a task has time limits of its own.
UNLIMITED = dict.fromkeys(
    (
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "transaction_timeout",
    ),
    "0",
)
_unlimited = False  # in this process
_thread = threading.local()


def set_up(**kwargs: Any) -> None:
    """Set up a new connection: the receiver of Django's `connection_created`."""
    given: Any = kwargs["connection"]
    if given.vendor == "postgresql":
        unlimited = _unlimited or getattr(_thread, "unlimited", False)
        _apply(given, REQUIRED | (UNLIMITED if unlimited else {}))
        with given.cursor() as cursor:
            cursor.execute(_DURABLE)


def lift_limits_in_this_thread() -> None:
    """Set no time-outs for this thread's connection, nor for those that it opens later."""
    _thread.unlimited = True
    if connection.vendor == "postgresql" and connection.connection is not None:
        _apply(connection, UNLIMITED)


def lift_limits_in_this_process() -> None:
    """Set no time-outs for the connections that this process opens: a worker's."""
    global _unlimited
    _unlimited = True


def _apply(to: Any, settings: Mapping[str, str]) -> None:
    with to.cursor() as cursor:
        cursor.execute(_SET, [list(settings), list(settings.values())])


_SET = """
SELECT set_config(s.name, wanted.value, false)
FROM unnest(%s::text[], %s::text[]) wanted (name, value) JOIN pg_settings s USING (name)
WHERE s.setting <> wanted.value
"""
# What a customer was told to be saved must survive a crash of the server.
_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
