"""What time it is: the database's word, so that machines agree on what is due."""

import datetime as dt

from django.db import connection
from django.utils.dateparse import parse_datetime

# Tests move time by moving this; nothing else does.
offset = dt.timedelta()


def now() -> dt.datetime:
    """Return the database's time, aware, UTC. One round trip."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')")
            stamp = parse_datetime(cursor.fetchone()[0])
            assert stamp is not None
        else:
            cursor.execute("SELECT clock_timestamp()")
            stamp = cursor.fetchone()[0]
    return stamp.astimezone(dt.UTC) + offset
