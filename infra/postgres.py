"""PostgreSQL features that Django's cursor hides: server-side binding and pipeline mode.

Django binds values in the client, so its cursors can neither prepare a statement nor send several
in one round trip. Errors are Django's. On SQLite both functions fall back to Django's cursor.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
from django.db import connection


@contextmanager
def cursor() -> Iterator[Any]:
    """Give a cursor that binds in the server; `execute(…, prepare=True)` prepares a statement."""
    if connection.vendor != "postgresql":
        with connection.cursor() as django_cursor:
            yield django_cursor
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as server_cursor:
        yield server_cursor


def pipeline() -> Any:
    """Send the statements inside in one round trip; fetch their rows after the block."""
    return connection.connection.pipeline() if connection.vendor == "postgresql" else nullcontext()
