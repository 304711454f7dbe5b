"""The database's clock, so that all machines agree on the time."""

import datetime as dt

from django.db import connection
from django.utils.dateparse import parse_datetime

# Added to the database's time; only tests change it.
offset = dt.timedelta()


def now() -> dt.datetime:
    """Return the database's time, aware, in UTC. Costs one round trip."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')")
            time = parse_datetime(cursor.fetchone()[0])
            assert time is not None
        else:
            cursor.execute("SELECT clock_timestamp()")
            time = cursor.fetchone()[0]
    return time.astimezone(dt.UTC) + offset
