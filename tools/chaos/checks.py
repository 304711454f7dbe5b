"""Lost, unexpected, doubled: set differences between what was promised, owed and done."""

from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection

from tools.ops.audit import Finding

# What was acknowledged, and where it and its news must be found.
KEPT = {
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
# Expected ends of a delivery: worker-killers, calls that nobody may simply repeat, and traps.
EXPECTED_DEATHS = ("WorkerKilled", "OutcomeUnknown", "CutOff", "It was cut off", "Fell")


def promised(promises: list[tuple[str, str]]) -> Finding:
    """Nothing acknowledged is missing."""
    finding = Finding("what was acknowledged is there, with its news", len(promises))
    for what, (rows, event, aggregate) in KEPT.items():
        given = {id for kind, id in promises if kind == what}
        there = {str(id) for (id,) in _rows(rows)}
        finding.against += [f"lost: {what} {id}" for id in sorted(given - there)]
        if event:
            said = {id.partition(":")[2] for (id,) in _rows(_ABOUT, event, f"{aggregate}:%")}
            finding.against += [f"no {event} of {id}" for id in sorted(given - said)]
    return finding


_ABOUT = "SELECT aggregate FROM eventbus_event WHERE name = %s AND aggregate LIKE %s"


def zombies() -> Finding:
    """No order without its news."""
    return _none(
        "no zombies: every order was told of, once",
        "SELECT count(*) FROM orders_order",
        """SELECT o.id FROM orders_order o LEFT JOIN eventbus_event e
           ON e.name = 'orders.OrderPlaced' AND e.aggregate = 'order:' || o.id
           GROUP BY o.id HAVING count(e.id) <> 1""",
    )


def ghosts() -> Finding:
    """No news of what is not there."""
    return _none(
        "no ghosts: what was told of is there",
        "SELECT count(*) FROM eventbus_event",
        """SELECT name || ' of ' || aggregate FROM eventbus_event
           WHERE name IN ('orders.OrderPlaced', 'orders.OrderPaid', 'orders.OrderCancelled')
             AND substr(aggregate, 7) NOT IN (SELECT id::text FROM orders_order)
           UNION ALL SELECT name || ' of ' || aggregate FROM eventbus_event
           WHERE name LIKE 'payments.Payment%%'
             AND substr(aggregate, 9) NOT IN (SELECT id::text FROM payments_payment)""",
    )


def lost() -> Finding:
    """Every owed delivery had an outcome."""
    return _none(
        "nothing lost: every event owed to a consumer was handled, or is a dead letter",
        f"SELECT count(*) FROM ({OWED}) owed",
        f"SELECT consumer || ' never handled ' || id FROM ({OWED} EXCEPT ({DONE} UNION {DEAD})) x",
    )


def unexpected() -> Finding:
    """Nothing was handled that is not owed."""
    return _none(
        "nothing unexpected: what was handled was owed, and is in the log",
        f"SELECT count(*) FROM ({DONE}) done",
        f"SELECT consumer || ' handled ' || event_id FROM (({DONE}) EXCEPT {OWED}) x",
    )


def deaths() -> Finding:
    """Nothing died that a storm does not excuse."""
    # A letter that an operator retried dies of its former reason: that is in the error's words.
    expected = " AND ".join(["signature || error NOT LIKE %s"] * len(EXPECTED_DEATHS))
    return _none(
        "no dead letters but of killed workers, calls cut off and traps",
        "SELECT count(*) FROM eventbus_dead_letter",
        f"SELECT signature || ': ' || right(error, 200) FROM eventbus_dead_letter WHERE {expected}",
        *(f"%{name}%" for name in EXPECTED_DEATHS),
    )


def moved_twice() -> Finding:
    """One event moves goods once."""
    return _none(
        "no goods moved twice for one cause",
        "SELECT count(*) FROM inventory_movement",
        """SELECT kind || ' ' || sku || ' twice by ' || cause FROM inventory_movement
           WHERE order_id IS NOT NULL GROUP BY kind, sku, cause, order_id HAVING count(*) > 1""",
    )


def paid_twice() -> Finding:
    """One order is paid once."""
    return _none(
        "no order paid twice",
        "SELECT count(*) FROM payments_payment",
        """SELECT order_id::text || ' paid twice' FROM payments_payment
           WHERE status = 'captured' GROUP BY order_id HAVING count(*) > 1
           UNION ALL SELECT payment_id || ' told twice: ' || name FROM
             (SELECT name, aggregate AS payment_id FROM eventbus_event
              WHERE name LIKE 'payments.Payment%%') told
           GROUP BY payment_id, name HAVING count(*) > 1""",
    )


def _none(says: str, looked_at: str, against: str, *values: str) -> Finding:
    """Make a finding of a count, and of a query that should return nothing."""
    ((count,),) = _rows(looked_at)
    return Finding(says, count, [str(row[0]) for row in _rows(against, *values)])


def _rows(statement: str, *values: str) -> Iterable[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


CHECKS: list[Callable[[], Finding]] = [
    zombies,
    ghosts,
    lost,
    unexpected,
    deaths,
    moved_twice,
    paid_twice,
]
