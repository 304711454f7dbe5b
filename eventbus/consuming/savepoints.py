"""Delivery without savepoints: each costs a service two round trips, and more than 64 are slow.

A batch is all or nothing anyway. If a handler rolls back to a savepoint that was left out, the
batch is redone event by event with savepoints.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from eventbus.errors import TransactionBroken


class Savepoints:
    """Whether a consumer's handler has missed a savepoint while they were omitted."""

    def __init__(self, consumer: str) -> None:
        self.consumer, self.missed = consumer, False

    @contextmanager
    def omitted(self) -> Iterator[None]:
        """Make no savepoints in this block. Raises TransactionBroken if one was missed."""
        features: Any = connection.features
        uses, features.uses_savepoints = features.uses_savepoints, False
        patched: Any = connection
        patched.savepoint_rollback = lambda sid: self._set_rollback(True)
        patched.set_rollback = self._set_rollback
        try:
            yield
        finally:
            features.uses_savepoints = uses
            del patched.savepoint_rollback, patched.set_rollback
            self.missed = self.missed or connection.needs_rollback
        if self.missed:
            raise TransactionBroken(consumer=self.consumer, how="marked for rollback")

    def _set_rollback(self, rollback: bool) -> None:
        # Set back to False by a handler, the flag would hide a part that had to be undone.
        self.missed = self.missed or rollback or connection.needs_rollback
        connection.needs_rollback = rollback
