"""This thread's session with PostgreSQL, used past Django's cursor where a round trip counts.

Django binds values on the client's side, so its cursors can neither prepare a statement nor send
several at once. Errors are Django's all the same. On SQLite it is Django's cursor: nothing to gain.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import psycopg
from django.db import connection


@contextmanager
def cursor() -> Iterator[Any]:
    """Give a cursor that binds on the server; statements are prepared where `prepare=True`."""
    if connection.vendor != "postgresql":
        with connection.cursor() as plain:
            yield plain
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as quick:
        yield quick


def pipeline() -> Any:
    """Send the statements inside in one round trip; read their rows when it has ended."""
    return connection.connection.pipeline() if connection.vendor == "postgresql" else nullcontext()
