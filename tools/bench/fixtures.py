"""The scratch database: rows added before a measurement, and counted after it."""

import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

from django.core.management import call_command
from django.db import Error, connection, transaction

from eventbus import publish
from eventbus.models import Event

STALL_TIMEOUT = 120.0  # seconds without an effect
NOTE = "n" * 330
_COLUMNS = [
    f.attname
    for f in Event._meta.concrete_fields
    if f.attname not in ("id", "payload", "position", "recorded_at")
]
_FILL = f"""
INSERT INTO eventbus_event (id, payload, recorded_at, {", ".join(_COLUMNS)})
SELECT uuidv7(age), payload || jsonb_build_object(
           'checkout_id', gen_random_uuid(), 'stock_id', 1 + trunc(random() * 100)::int),
       statement_timestamp() + age, {", ".join(_COLUMNS)}
FROM bench_template, generate_series(1, %s) n, LATERAL (SELECT n * %s::interval AS age) ages
WHERE name = %s
"""


class Stalled(Exception):
    """No effect has arrived for STALL_TIMEOUT."""


def build() -> None:
    """Create tables, stock, and a template event of each kind."""
    from benchshop.events import (
        GoodsCounted,
        GoodsGiven,
        GoodsNoted,
        GoodsShipped,
        GoodsSold,
    )
    from benchshop.models import Stock

    call_command("migrate", run_syncdb=True, verbosity=0)
    Stock.objects.bulk_create(Stock(pk=n, quantity=1_000_000) for n in range(1, 101))
    with transaction.atomic():
        for kind in (GoodsSold, GoodsGiven, GoodsNoted, GoodsShipped, GoodsCounted):
            publish(kind(checkout_id=uuid4(), stock_id=1, quantity=1, note=NOTE))
    sql("CREATE TABLE bench_template AS SELECT * FROM eventbus_event")
    clear()


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall()) if cursor.description else []


def clear() -> None:
    """Empty the log, and the tables that depend on it."""
    tables = "eventbus_event eventbus_outbox eventbus_dispatch eventbus_inbox eventbus_retry"
    tables += " benchshop_ledger benchshop_seen benchshop_checkout"
    sql(f"TRUNCATE {', '.join(tables.split())}")


def preload(name: str, count: int) -> None:
    """Add so many events to log and outbox, in the caller's transaction."""
    sql(
        f"WITH fact AS ({_FILL} RETURNING id)"
        " INSERT INTO eventbus_outbox (event_id) SELECT id FROM fact",
        count,
        "0 seconds",
        name,
    )


def fill_log(count: int) -> None:
    """Add handled events to the log, a second apart."""
    sql(
        f"WITH fact AS ({_FILL} RETURNING id)"
        " INSERT INTO eventbus_inbox (consumer, generation, event_id, handled_at)"
        " SELECT 'benchshop.sell', 0, id, now() FROM fact",
        count,
        "-1 second",
        "benchshop.GoodsSold",
    )
    sql("VACUUM ANALYZE eventbus_event")
    sql("VACUUM ANALYZE eventbus_inbox")
    sql("CHECKPOINT")


def add_history(name: str, count: int) -> None:
    """Add events to the log that are not sent to any consumer."""
    sql(_FILL, count, "-1 second", name)


def read_model_sum() -> int:
    """Return the sum of the read model."""
    return int(sql("SELECT coalesce(sum(quantity), 0) FROM benchview_count")[0][0])


def last_effect() -> int:
    """Return the id of the latest effect."""
    return int(sql("SELECT coalesce(max(id), 0) FROM benchshop_ledger")[0][0])


def effects(after: int = 0) -> int:
    """Return the number of effects after that id: counting all rows would get slower."""
    return int(sql("SELECT count(*) FROM benchshop_ledger WHERE id > %s", after)[0][0])


def wait_for_effects(wanted: int, after: int = 0) -> float:
    """Wait for so many more effects, and return the time. Raises Stalled."""
    seen, deadline = -1, time.perf_counter() + STALL_TIMEOUT
    while (now := effects(after)) < wanted:
        if now != seen:
            seen, deadline = now, time.perf_counter() + STALL_TIMEOUT
        if time.perf_counter() > deadline:
            raise Stalled(f"{now} of {wanted} effects, and no more for {STALL_TIMEOUT:.0f} s")
        time.sleep(0.01)
    return time.perf_counter()


def payload_bytes() -> int:
    """Return the size of one event's payload as JSON."""
    return int(sql("SELECT max(length(payload::text)) FROM bench_template")[0][0])


def latencies() -> list[float]:
    """Return the milliseconds from each checkout's commit to its effect's commit, sorted."""
    rows = sql("""
        SELECT extract(epoch FROM pg_xact_commit_timestamp(l.xmin)
                                - pg_xact_commit_timestamp(c.xmin))::float * 1000
        FROM benchshop_ledger l JOIN benchshop_checkout c ON c.id = l.checkout_id ORDER BY 1
    """)
    return [float(row[0]) for row in rows]


def clear_with_retries() -> None:
    """Empty all tables; a stopped process may hold a lock, so it is tried ten times."""
    sql("SET lock_timeout = '500ms'")
    for _ in range(10):
        with suppress(Error):
            clear()
            break
    sql("SET lock_timeout = 0")
