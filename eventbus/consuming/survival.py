"""The transaction of a delivery must still be open, and the same, after its handler.

Django ends a transaction that is marked for rollback without an error, and knows nothing of a
COMMIT, a ROLLBACK or a closed connection by hand. Taken for success, each would lose the event.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from psycopg.pq import TransactionStatus

from eventbus.consuming import inbox
from eventbus.errors import TransactionBroken, TransactionEnded, TransactionLeftOpen

log = structlog.get_logger(__name__)


class DeliveryTransaction:
    """The transaction of one delivery, with the events marked in it, and PostgreSQL's id."""

    def __init__(self, consumer: str) -> None:
        self.consumer, self.id = consumer, ""
        self.marked: set[UUID] | None = None  # before the handler runs
        self.running: UUID | None = None
        self.done: set[UUID] = set()
        self.parked: set[UUID] = set()
        self.unclear: set[UUID] = set()  # after a COMMIT by hand: a part of their effect is saved
        self._session: Any = None

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Open the transaction; its user checks it after the handler, before it commits.

        Raises TransactionEnded if a handler has committed it by hand, whatever it raised then.
        """
        try:
            with transaction.atomic():
                self._session = connection.connection
                yield
                contained: Any = connection
                contained.run_on_commit = [
                    (savepoints, _contained(hook), robust)
                    for savepoints, hook, robust in contained.run_on_commit
                ]
        except Exception as error:
            if not connection.in_atomic_block and self._unmark_unfinished():
                raise TransactionEnded(consumer=self.consumer) from error
            raise

    @contextmanager
    def run(self, event: UUID) -> Iterator[None]:
        """Run the handler of one event; raises like `must_be_open` after it."""
        self.running = event
        yield
        self.must_be_open()
        self.running = None
        self.done.add(event)

    def _unmark_unfinished(self) -> bool:
        """Undo the marks that a COMMIT by hand has saved; return whether there are any."""
        saved = inbox.marked_by(self.consumer, self.marked, self.id) if self.marked else set()
        if saved:
            self.unclear = {self.running} if self.running else saved
            # What was done before the COMMIT is saved with its mark.
            inbox.unmark(self.consumer, saved - self.done if self.running else saved)
        return bool(saved)

    def must_be_open(self) -> None:
        """Raise TransactionBroken or TransactionEnded unless it can still commit."""
        session: Any = connection.connection
        if session is None or session is not self._session or connection.closed_in_transaction:
            raise TransactionBroken(consumer=self.consumer, how="closed")
        if connection.needs_rollback:
            raise TransactionBroken(consumer=self.consumer, how="marked for rollback")
        if connection.vendor == "sqlite":
            if not (session.in_transaction and self._has_marks()):
                raise TransactionEnded(consumer=self.consumer)
        elif session.info.transaction_status == TransactionStatus.INERROR:
            raise TransactionBroken(consumer=self.consumer, how="broken by an error it caught")
        elif session.info.transaction_status != TransactionStatus.INTRANS:
            raise TransactionEnded(consumer=self.consumer)

    def _has_marks(self) -> bool:
        # SQLite's transactions have no id; a statement there is no round trip.
        marked = self.marked or set()
        return len(inbox.marked_by(self.consumer, marked, "")) == len(marked)

    def must_be(self, id: str) -> None:
        """Raise TransactionEnded if the current transaction has another id than this one."""
        if self.id and id != self.id:
            raise TransactionEnded(consumer=self.consumer)


def _contained(hook: Callable[[], object]) -> Callable[[], None]:
    # After the commit the effect stands: an error neither fails the delivery nor stops other hooks.
    # Django's own `robust` raises for a functools.partial, which has no __qualname__.
    def run() -> None:
        try:
            hook()
        except Exception:
            log.exception("on_commit hook of a handler failed", hook=repr(hook))

    return run


def must_be_idle(consumer: str) -> None:
    """Raise TransactionLeftOpen if an external handler has not ended a transaction it began."""
    if roll_back_left_open():
        raise TransactionLeftOpen(consumer=consumer)


def roll_back_left_open() -> bool:
    """Roll back a transaction that an external handler left open; return whether there was one."""
    if _is_idle():
        return False
    session: Any = connection.connection
    session.rollback()
    connection.set_autocommit(True)
    return True


def _is_idle() -> bool:
    session: Any = connection.connection
    if session is None:
        return True
    if not connection.get_autocommit() or connection.in_atomic_block:
        return connection.in_atomic_block  # as in a test: the transaction is not the handler's
    if connection.vendor == "sqlite":
        return not session.in_transaction
    return bool(session.info.transaction_status == TransactionStatus.IDLE)


def current_id() -> str:
    """Return PostgreSQL's id of the current transaction; on SQLite an empty string."""
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(pg_current_xact_id_if_assigned()::text, '')")
        return str(cursor.fetchone()[0])
