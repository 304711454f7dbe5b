"""Values of runtime settings: in the database, the shared cache, and for a second in a process."""

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
from infra.runtime_settings.models import Change, decode, encode, latest
from infra.transactions import atomic

log = structlog.get_logger(__name__)

ALL = "all"
FRESH = 1.0  # seconds a process uses the values it has read: a setting costs no round trip
LONGEST = 5.0  # seconds until a change is seen everywhere, even if its invalidation got lost

_actor: ContextVar[str] = ContextVar("actor", default="")
_request: ContextVar[list[dict[str, Any]] | None] = ContextVar("request", default=None)
_known: dict[str, Any] = {}
_until = 0.0


def _load(keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {ALL: {c.name: decode(c.value) for c in latest() if c.value is not None}}


_values = WriteThrough("runtime_settings", _load, ttl=LONGEST)


def changed() -> dict[str, Any]:
    """Return the changed values by name; while the database is unavailable, those read last."""
    read = _request.get()
    if read is None:
        return _read_now()
    if not read:
        read.append(_read_now())
    return read[0]


@contextmanager
def read_once() -> Iterator[None]:
    """Let all that happens inside, such as one request, see the same values, read once."""
    token = _request.set([])
    try:
        yield
    finally:
        _request.reset(token)


def _read_now() -> dict[str, Any]:
    global _known, _until
    if time.monotonic() >= _until:
        try:
            _known = _values.get(ALL) or {}
        except DatabaseError as error:
            log.warning("runtime settings not read", reason=str(error))
        _until = time.monotonic() + FRESH
    return _known


def forget() -> None:
    """Read again at the next use."""
    global _until
    _until = 0.0
    if read := _request.get():
        read.clear()


@contextmanager
def changed_by(actor: str) -> Iterator[None]:
    """Record every change made inside as this actor's."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


@atomic
def change(name: str, value: Any, by: str = "") -> None:
    """Set a setting from now on; None restores its value at start."""
    actor = (
        by or _actor.get() or command_options.actor("constance", "constance.change_config", None)
    )
    row = Change(name=name, value=encode(value), by=actor)
    _values.write(ALL, row.save)
    transaction.on_commit(forget)


def revert(unwanted: Change, by: str = "") -> None:
    """Give a setting the value it had before a change."""
    before = unwanted.before
    change(unwanted.name, decode(before.value) if before else None, by)


class Store(Backend):
    """The backend of constance, for its form in the admin and its command."""

    def get(self, key: str) -> Any:
        """Return a value; never None, for which constance would store the default."""
        return changed().get(key, constance.CONFIG[key][0])

    def mget(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return many values, read again: the caller is about to change them."""
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
