"""The database session of a handler: settings and temporary tables of an earlier one are undone.

A session outlives a delivery, as connecting anew for each would take longer than most handlers.
Its state is read by the statement that marks the events handled, so that it costs no round trip.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from django.db import connection

log = structlog.get_logger(__name__)

SETTINGS = (
    "role",
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "session_replication_role",
    "row_security",
    "synchronous_commit",
    "client_encoding",
    "client_min_messages",
    "TimeZone",
    "DateStyle",
    "IntervalStyle",
    "bytea_output",
    "work_mem",
    "jit",
    "enable_seqscan",
    "enable_indexscan",
)
# The schema of temporary tables stays for the life of a session; pg_class is read only then.
_HAS_TEMPORARY_TABLES = """
CASE WHEN pg_my_temp_schema() <> 0
     THEN EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema())::text
     ELSE 'false' END
"""
_VALUES = ", ".join(f"current_setting('{name}')" for name in SETTINGS)
STATE = {"postgresql": f"(SELECT ARRAY[{_VALUES}, {_HAS_TEMPORARY_TABLES}])", "sqlite": "NULL"}


def restore(state: Sequence[str] | None) -> None:
    """Undo the changes of earlier handlers: the first state of a session is the reference."""
    session: Any = connection.connection
    if state is None:
        return
    original = getattr(session, "_original_state", None)
    if original is None:
        session._original_state = state
    elif state != original:
        _undo(state, original)


def _undo(state: Sequence[str], original: Sequence[str]) -> None:
    pairs = zip((*SETTINGS, "temporary tables"), state, original, strict=True)
    changed = {name: before for name, now, before in pairs if now != before}
    log.warning("session restored: an earlier handler has changed it", changed=sorted(changed))
    with connection.cursor() as cursor:
        if changed.pop("temporary tables", None):
            cursor.execute("DISCARD TEMP")
        for name, value in changed.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
