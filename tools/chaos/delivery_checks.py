"""Lost, unexpected, duplicate: set differences between acknowledged, owed and handled."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.db import connection

from eventbus.errors import OutcomeUnknown, WorkerKilled
from eventbus.models import DeadLetter, Event
from notifications.errors import Interrupted
from orders.models import Order
from payments.models import Payment
from tools.ops.audit import Finding

WORK_DONE = "chaosevents.WorkDone"
WORK_REQUESTED = ("chaosevents.FlakyWorkRequested", "chaosevents.MisbehaviourRequested")
# Kind of acknowledged write: the query that finds it, and its event.
ACKNOWLEDGED = {
    "placed": ("SELECT id FROM orders_order", "orders.OrderPlaced"),
    "signed": ("SELECT id FROM accounts_user", "accounts.CustomerSignedUp"),
    "withdrawn": (
        "SELECT id FROM orders_order WHERE status = 'cancelled'",
        "orders.OrderCancelled",
    ),
    "paying": ("SELECT id FROM payments_payment", ""),
    "delivered": ("SELECT id FROM inventory_movement", ""),
    "published": ("SELECT id FROM eventbus_event", ""),
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
    for kind, (rows, event) in ACKNOWLEDGED.items():
        expected = {id for written, id in writes if written == kind}
        # SQLite keeps a UUID without its hyphens.
        found = {str(UUID(id)) if isinstance(id, str) else str(id) for (id,) in _rows(rows)}
        finding.violations += [f"lost: {kind} {id}" for id in sorted(expected - found)]
        if event:
            published = set(_ids_of(event))
            finding.violations += [f"no {event} of {id}" for id in sorted(expected - published)]
    return finding


def orders_published() -> Finding:
    """Check that each order has one OrderPlaced."""
    finding = Finding("every order was published once")
    published = Counter(_ids_of("orders.OrderPlaced"))
    for id in map(str, Order.objects.values_list("id", flat=True)):
        finding.checked += 1
        if published[id] != 1:
            finding.violations.append(f"{id}: {published[id]} times")
    return finding


def events_backed() -> Finding:
    """Check that events about orders and payments have their rows."""
    finding = Finding("every published order and payment exists", Event.objects.count())
    for context, names, model in (
        ("orders", ("OrderPlaced", "OrderPaid", "OrderCancelled"), Order),
        ("payments", None, Payment),
    ):
        existing = {str(id) for id in model._default_manager.values_list("pk", flat=True)}
        events = Event.objects.filter(name__startswith=f"{context}.")
        for name, aggregate in events.values_list("name", "aggregate"):
            kind, _, id = aggregate.partition(":")
            wanted = kind == "payment" if names is None else name.partition(".")[2] in names
            if wanted and id not in existing:
                finding.violations.append(f"{name} of {aggregate}")
    return finding


def done_once() -> Finding:
    """Check the effects of the consumers that fail and misbehave."""
    finding = Finding("all work was done once, or its event is a dead letter")
    done = Counter(Event.objects.filter(name=WORK_DONE).values_list("aggregate", flat=True))
    dead = set(DeadLetter.objects.values_list("event_id", flat=True))
    requests = Event.objects.filter(name__in=WORK_REQUESTED)
    for id, aggregate, payload in requests.values_list("pk", "aggregate", "payload"):
        if payload.get("kind") == "commit-by-hand":
            continue
        finding.checked += 1
        if done[aggregate] != 1 and not (id in dead and done[aggregate] == 0):
            finding.violations.append(f"{aggregate} {payload}: done {done[aggregate]} times")
    return finding


def _ids_of(event: str) -> list[str]:
    aggregates = Event.objects.filter(name=event).values_list("aggregate", flat=True)
    return [aggregate.partition(":")[2] for aggregate in aggregates]


def lost() -> Finding:
    """Check that every owed delivery has an outcome."""
    return _none(
        "nothing lost: every event owed to a consumer was handled or is a dead letter",
        f"SELECT count(*) FROM ({OWED}) owed",
        f"WITH owed AS ({OWED}), known AS ({DONE} UNION {DEAD}) SELECT consumer ||"
        " ' never handled ' || id FROM (SELECT * FROM owed EXCEPT SELECT * FROM known) x",
    )


def unexpected() -> Finding:
    """Check that every handled delivery was owed."""
    return _none(
        "nothing unexpected: every handled event was owed, and is in the log",
        f"SELECT count(*) FROM ({DONE}) done",
        f"SELECT consumer || ' handled ' || event_id FROM ({DONE} EXCEPT {OWED}) x",
    )


def dead_letters() -> Finding:
    """Check that every dead letter follows from a fault."""
    # A dead letter that was retried fails with its former reason, which is in the error's text.
    expected = " AND ".join(["signature || error NOT LIKE %s"] * len(EXPECTED_DEAD_LETTERS))
    return _none(
        "dead letters come from killed workers, interrupted calls and early work only",
        "SELECT count(*) FROM eventbus_dead_letter",
        f"SELECT signature || ': ' || error FROM eventbus_dead_letter WHERE {expected}",
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
        """SELECT order_id || ' paid twice' FROM payments_payment
           WHERE status = 'captured' GROUP BY order_id HAVING count(*) > 1
           UNION ALL SELECT payment_id || ' published twice: ' || name FROM
             (SELECT name, aggregate AS payment_id FROM eventbus_event
              WHERE name LIKE 'payments.Payment%%') published
           GROUP BY payment_id, name HAVING count(*) > 1""",
    )


def _none(claim: str, count: str, violations: str, *values: str) -> Finding:
    """Make a finding from a count, and a query that should return no row."""
    ((checked,),) = _rows(count)
    return Finding(claim, checked, [str(row[0])[-300:] for row in _rows(violations, *values)])


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
    done_once,
]
