"""Who did what by hand: each of an operator's verbs leaves a row, begun before it begins."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from eventbus import clock
from eventbus.models import Action


@contextmanager
def doing(
    verb: str,
    actor: str,
    *,
    chosen: Mapping[str, Any],
    preview: Mapping[str, Any] | None = None,
    why: str = "",
) -> Iterator[Action]:
    """Write down that somebody does this; fill in the action's `result` meanwhile.

    Where it is cut off, the row stays without an end, with the result as last saved.
    """
    action = Action.objects.create(
        verb=verb, actor=actor, chosen=dict(chosen), preview=dict(preview or {}), why=why
    )
    yield action
    action.ended_at = clock.now()
    action.save()


def looked(actor: str, what: str, id: object) -> None:
    """Write down that somebody saw what is in an event or a letter."""
    with doing("looked", actor, chosen={what: str(id)}):
        pass
