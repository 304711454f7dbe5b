"""Who did what by hand: each of an operator's verbs leaves a row, begun before it begins."""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db.models.functions import Now

from eventbus.models import Action
from infra import clock

QUIET = dt.timedelta(minutes=1)  # without a step, and it was cut off, or is very slow


@contextmanager
def record_action(
    verb: str,
    actor: str,
    *,
    chosen: Mapping[str, Any],
    preview: Mapping[str, Any] | None = None,
    total: int = 0,
    why: str = "",
) -> Iterator[Action]:
    """Write down that somebody does this; fill in the action's `result` meanwhile.

    Where it is cut off, the row stays without an end, with the result as last saved.
    """
    action = Action.objects.create(
        verb=verb,
        actor=actor,
        chosen=dict(chosen),
        preview=dict(preview or {}),
        total=total,
        why=why,
    )
    yield action
    action.heard_at = action.ended_at = clock.now()
    action.save()


def record_progress(action: Action, steps: int) -> None:
    """Write down how far it is: in one transaction with the steps, it is true also when cut off."""
    action.done += steps
    action.heard_at = Now()
    action.save(update_fields=["done", "heard_at", "result"])


def state(action: Action) -> str:
    """Say whether it is done, under way, or seems to have been cut off."""
    if action.ended_at:
        return "done"
    return "under way" if clock.now() - action.heard_at < QUIET else "cut off"


def record_view(actor: str, what: str, id: object) -> None:
    """Write down that somebody saw what is in an event or a letter."""
    with record_action("looked", actor, chosen={what: str(id)}):
        pass
