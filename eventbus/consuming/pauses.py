"""Pauses of consumers and contexts, as relays and workers see them."""

import time

from django.db.models import Q

from eventbus.models import Dispatch, Pause

_READ_INTERVAL = 1.0  # seconds: no delivery of a paused consumer begins later than that
_names: set[str] = set()
_read_at = float("-inf")


def names() -> set[str]:
    """Return the names of paused consumers and contexts."""
    return set(Pause.objects.values_list("name", flat=True))


def is_paused(consumer: str) -> bool:
    """Return whether a consumer or its context is paused; read at most once a second."""
    global _names, _read_at
    if time.monotonic() - _read_at >= _READ_INTERVAL:
        _names, _read_at = names(), time.monotonic()
    return bool(_names & {consumer, consumer.partition(".")[0]})


def forget() -> None:
    """Read the pauses anew at the next delivery: this process has changed one."""
    global _read_at
    _read_at = float("-inf")


def of(name: str) -> Q:
    """Return the condition for rows of this consumer, or of all consumers of this context."""
    return Q(consumer=name) | Q(consumer__startswith=f"{name}.")


def put_back(dispatch: int, consumer: str) -> bool:
    """Mark a dispatch unsent, for the end of the pause; False if there is none."""
    rows = Dispatch.objects.filter(pk=dispatch, consumer=consumer)
    return bool(rows.update(claimed_at=None, confirmed_at=None))
