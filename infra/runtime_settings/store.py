"""Where live settings are kept: the database, the shared cache, and for a second each process."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from asgiref.sync import sync_to_async
from constance import settings as constance
from constance.backends import Backend
from django.db import DatabaseError, transaction

from infra import command_options
from infra.caching import WriteThrough
from infra.runtime_settings.models import Change, latest, read, written

log = structlog.get_logger(__name__)

ALL = "all"
FRESH = 1.0  # seconds a process believes what it has read: a setting costs no round trip
LOST = 5.0  # seconds until a change is seen everywhere, whatever became of the cache meanwhile

_actor: ContextVar[str] = ContextVar("actor", default="")
_known: dict[str, Any] = {}
_until = 0.0


def _load(keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {ALL: {c.name: read(c.value) for c in latest() if c.value is not None}}


_values = WriteThrough("runtime_settings", _load, ttl=LOST)


def changed() -> dict[str, Any]:
    """Return what operators have changed; while the database is away, what was known last."""
    global _known, _until
    if time.monotonic() >= _until:
        try:
            _known = _values.get(ALL) or {}
        except DatabaseError as away:
            log.warning("live settings not read", reason=str(away))
        _until = time.monotonic() + FRESH
    return _known


def forget() -> None:
    """Look again at the next use."""
    global _until
    _until = 0.0


@contextmanager
def changed_by(actor: str) -> Iterator[None]:
    """Record every change made inside as this actor's."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def change(name: str, value: Any, by: str = "") -> None:
    """Give a setting another value from now on; None gives it back to the environment."""
    with transaction.atomic():
        actor = (
            by
            or _actor.get()
            or command_options.actor("constance", "constance.change_config", None)
        )
        row = Change(name=name, value=written(value), by=actor)
        _values.write(ALL, row.save)
        transaction.on_commit(forget)


def put_back(unwanted: Change, by: str = "") -> None:
    """Give a setting the value it had before a change."""
    before = unwanted.before
    change(unwanted.name, read(before.value) if before else None, by)


class Store(Backend):
    """Constance's door to them, for its form in the admin and its command."""

    def get(self, key: str) -> Any:
        """Return a value; never None, for which constance would write the default down."""
        return changed().get(key, constance.CONFIG[key][0])

    def mget(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return many, fresh: somebody is about to change them."""
        forget()
        return {key: self.get(key) for key in keys}

    def set(self, key: str, value: Any) -> None:
        """Change it."""
        change(key, value)

    async def aget(self, key: str) -> Any:
        """Return a value."""
        return await sync_to_async(self.get)(key)

    async def amget(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return many."""
        return await sync_to_async(self.mget)(keys)

    async def aset(self, key: str, value: Any) -> None:
        """Change it."""
        await sync_to_async(self.set)(key, value)
