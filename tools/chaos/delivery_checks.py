"""Lost, unexpected, duplicate: set differences between acknowledged, owed and handled."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection

from eventbus.errors import OutcomeUnknown, WorkerKilled
from notifications.errors import Interrupted
from tools.ops.audit import Finding

# Kind of acknowledged write: the query that finds it, its event, and the name of the aggregate.
ACKNOWLEDGED = {
    "placed": ("SELECT id FROM orders_order", "orders.OrderPlaced", "order"),
    "signed": ("SELECT id FROM accounts_user", "accounts.CustomerSignedUp", "customer"),
    "withdrawn": (
        "SELECT id FROM orders_order WHERE status = 'cancelled'",
        "orders.OrderCancelled",
        "order",
    ),
    "paying": ("SELECT id FROM payments_payment", "", ""),
    "delivered": ("SELECT id FROM inventory_movement", "", ""),
    "published": ("SELECT id FROM eventbus_event", "", ""),
}
OWED = """
SELECT s.consumer, e.id FROM eventbus_subscription s
JOIN eventbus_event e ON e.name = s.event AND e.recorded_at >= s.since WHERE s.until IS NULL
"""
DONE = "SELECT consumer, event_id FROM eventbus_inbox WHERE handled_at IS NOT NULL"
DEAD = "SELECT consumer, event_id FROM eventbus_dead_letter"
# Killed workers, external calls that may not be repeated, and work requested too early.
EXPECTED_DEAD_LETTERS = (
    WorkerKilled.__name__,
    OutcomeUnknown.__name__,
    Interrupted.__name__,
    str(Interrupted.__doc__),
    "TooEarly",
    "chaosevents.misbehave",
)


def acknowledged(writes: list[tuple[str, str]]) -> Finding:
    """Check that acknowledged writes are in the database, with their events."""
    finding = Finding("acknowledged writes are in the database, with their events", len(writes))
    for kind, (rows, event, aggregate) in ACKNOWLEDGED.items():
        expected = {id for written, id in writes if written == kind}
        found = {str(id) for (id,) in _rows(rows)}
        finding.violations += [f"lost: {kind} {id}" for id in sorted(expected - found)]
        if event:
            published = {
                id.partition(":")[2] for (id,) in _rows(_AGGREGATES, event, f"{aggregate}:%")
            }
            finding.violations += [f"no {event} of {id}" for id in sorted(expected - published)]
    return finding


_AGGREGATES = "SELECT aggregate FROM eventbus_event WHERE name = %s AND aggregate LIKE %s"


def orders_published() -> Finding:
    """Check that each order has one OrderPlaced."""
    return _none(
        "every order was published once",
        "SELECT count(*) FROM orders_order",
        """SELECT o.id FROM orders_order o LEFT JOIN eventbus_event e
           ON e.name = 'orders.OrderPlaced' AND e.aggregate = 'order:' || o.id
           GROUP BY o.id HAVING count(e.id) <> 1""",
    )


def events_backed() -> Finding:
    """Check that events about orders and payments have their rows."""
    return _none(
        "every published order and payment exists",
        "SELECT count(*) FROM eventbus_event",
        """SELECT name || ' of ' || aggregate FROM eventbus_event
           WHERE name IN ('orders.OrderPlaced', 'orders.OrderPaid', 'orders.OrderCancelled')
             AND substr(aggregate, 7) NOT IN (SELECT id::text FROM orders_order)
           UNION ALL SELECT name || ' of ' || aggregate FROM eventbus_event
           WHERE name LIKE 'payments.Payment%%'
             AND substr(aggregate, 9) NOT IN (SELECT id::text FROM payments_payment)""",
    )


def lost() -> Finding:
    """Check that every owed delivery has an outcome."""
    return _none(
        "nothing lost: every event owed to a consumer was handled or is a dead letter",
        f"SELECT count(*) FROM ({OWED}) owed",
        f"SELECT consumer || ' never handled ' || id FROM ({OWED} EXCEPT ({DONE} UNION {DEAD})) x",
    )


def unexpected() -> Finding:
    """Check that every handled delivery was owed."""
    return _none(
        "nothing unexpected: every handled event was owed, and is in the log",
        f"SELECT count(*) FROM ({DONE}) done",
        f"SELECT consumer || ' handled ' || event_id FROM (({DONE}) EXCEPT {OWED}) x",
    )


def dead_letters() -> Finding:
    """Check that every dead letter follows from a fault."""
    # A dead letter that was retried fails with its former reason, which is in the error's text.
    expected = " AND ".join(["signature || error NOT LIKE %s"] * len(EXPECTED_DEAD_LETTERS))
    return _none(
        "dead letters come from killed workers, interrupted calls and early work only",
        "SELECT count(*) FROM eventbus_dead_letter",
        f"SELECT signature || ': ' || right(error, 200) FROM eventbus_dead_letter WHERE {expected}",
        *(f"%{name}%" for name in EXPECTED_DEAD_LETTERS),
    )


def moved_twice() -> Finding:
    """Check that an event has moved stock once."""
    return _none(
        "no event has moved stock twice",
        "SELECT count(*) FROM inventory_movement",
        """SELECT kind || ' ' || sku || ' twice by ' || cause FROM inventory_movement
           WHERE order_id IS NOT NULL GROUP BY kind, sku, cause, order_id HAVING count(*) > 1""",
    )


def paid_twice() -> Finding:
    """Check that an order was paid once."""
    return _none(
        "no order paid twice",
        "SELECT count(*) FROM payments_payment",
        """SELECT order_id::text || ' paid twice' FROM payments_payment
           WHERE status = 'captured' GROUP BY order_id HAVING count(*) > 1
           UNION ALL SELECT payment_id || ' published twice: ' || name FROM
             (SELECT name, aggregate AS payment_id FROM eventbus_event
              WHERE name LIKE 'payments.Payment%%') published
           GROUP BY payment_id, name HAVING count(*) > 1""",
    )


def _none(claim: str, count: str, violations: str, *values: str) -> Finding:
    """Make a finding from a count, and a query that should return no row."""
    ((checked,),) = _rows(count)
    return Finding(claim, checked, [str(row[0]) for row in _rows(violations, *values)])


def _rows(statement: str, *values: str) -> Iterable[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


CHECKS: list[Callable[[], Finding]] = [
    orders_published,
    events_backed,
    lost,
    unexpected,
    dead_letters,
    moved_twice,
    paid_twice,
]
