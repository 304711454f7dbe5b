"""Audit records: each operation by an operator adds an `Action` row before it changes anything."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, TypeVar

from django.db import transaction
from django.db.models.functions import Now

from eventbus.models import Action
from infra import clock
from infra.transactions import repeat_conflicts

Result = TypeVar("Result")

INTERRUPTED_AFTER = dt.timedelta(minutes=1)  # without progress: interrupted, or very slow


@contextmanager
def record_action(
    operation: Action.Operation,
    actor: str,
    *,
    selection: Mapping[str, Any],
    preview: Mapping[str, Any] | None = None,
    total: int = 0,
    reason: str = "",
) -> Iterator[Action]:
    """Record an operation; the caller fills in `action.result` inside the block.

    An interrupted operation keeps its row, without `ended_at` and with the last saved result.
    """
    action = Action.objects.create(
        operation=operation,
        actor=actor,
        selection=dict(selection),
        preview=dict(preview or {}),
        total=total,
        reason=reason,
    )
    yield action
    action.last_progress_at = action.ended_at = clock.now()
    action.save()


def record_progress(action: Action, count: int) -> None:
    """Add to the number of processed items; call it in the transaction that processes them."""
    action.processed += count
    action.last_progress_at = Now()
    action.save(update_fields=["processed", "last_progress_at", "result"])


def step(action: Action, work: Callable[[], Result]) -> Result:
    """Run a part of an operation in a transaction, and again after a conflict, counted once."""
    processed, result = action.processed, deepcopy(action.result)

    def once() -> Result:
        action.processed, action.result = processed, deepcopy(result)
        with transaction.atomic():
            return work()

    return repeat_conflicts(once)


def status(action: Action) -> str:
    """Return "completed", "running", or "interrupted" after a minute without progress."""
    if action.ended_at:
        return "completed"
    quiet = clock.now() - action.last_progress_at
    return "running" if quiet < INTERRUPTED_AFTER else "interrupted"


def record_view(actor: str, model: str, id: object) -> None:
    """Record that an operator viewed a payload."""
    with record_action(Action.Operation.VIEW, actor, selection={model: str(id)}):
        pass
