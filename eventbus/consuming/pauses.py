"""Pauses of consumers and contexts, as relays and workers see them."""

import time
from collections.abc import Sequence

from django.db import connection
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


def put_back(dispatch: int, consumer: str, events: Sequence[str], left: Sequence[str]) -> bool:
    """Mark the dispatch of these events unsent, with those left; return whether there is one."""
    rows = Dispatch.objects.filter(pk=dispatch, consumer=consumer)
    if connection.vendor == "postgresql":  # after a crash its number may be that of other events
        rows = rows.filter(event_ids__contained_by=list(events))
    return bool(rows.update(event_ids=list(left), claimed_at=None, confirmed_at=None))
