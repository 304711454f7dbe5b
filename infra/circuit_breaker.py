"""Circuit breaker and bulkhead (Nygard, *Release It!*) for calls to other systems.

A breaker is closed, open, or half-open: after some failures in a row it refuses calls, and after
`reset_timeout` seconds it lets one trial call of all processes through. Its state is in the cache,
so processes share it; while the cache is unreachable each process keeps its own, so the breaker
never adds an outage.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

import structlog
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection

from infra.errors import Unavailable

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

_FAILURES_EXPIRE_AFTER = 3600  # seconds


class CircuitBreaker:
    """Guards the calls to one other system; they are refused inside a transaction.

    failures: this many in a row open the breaker.
    reset_timeout: seconds until an open breaker lets a trial call through.
    max_concurrency: concurrent calls of this process; a call that waits longer than
        `reset_timeout` for its turn is refused.
    ignore: errors that are an answer of the other system (a declined card), not a failure.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        reset_timeout: float = 10.0,
        max_concurrency: int = 8,
        ignore: tuple[type[Exception], ...] = (),
    ) -> None:
        self.name, self.failures = name, failures
        self.reset_timeout, self.ignore = reset_timeout, ignore
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._local_state = LocMemCache(f"breaker-{name}", {})

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        shared = self._with_state(self._read)
        # A cache that can be read and refuses writes knows of no failure, but this process does.
        return self._read(self._local_state) if shared == "closed" else shared

    def call(self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        """Call the function and return its result. Raises Unavailable while the breaker is open."""
        assert not _in_transaction(), f"{self.name} is called in a transaction, which would wait"
        if self.state == "open":
            raise self._unavailable()
        with self._slot():
            self._admit()
            return self._counted(function, *args, **kwargs)

    def close(self) -> None:
        """Reset the breaker."""
        self._with_state(self._reset)
        self._reset(self._local_state)

    def _counted(self, function: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        try:
            result = function(*args, **kwargs)
        except self.ignore:
            self.close()
            raise
        except Exception:
            self._record_failure()
            raise
        self.close()
        return result

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=self.reset_timeout):
            raise self._unavailable("too many concurrent calls")
        try:
            yield
        finally:
            self._slots.release()

    def _admit(self) -> None:
        state = self.state  # read again: it may have opened while this call waited for a slot
        # `add` is atomic: of all processes one makes the trial call.
        trial = state == "half-open" and self._with_state(
            lambda store: store.add(self._key("trial"), 1, self.reset_timeout)
        )
        if state != "closed" and not trial:
            raise self._unavailable()

    def _unavailable(self, reason: str = "") -> Unavailable:
        named = f"{self.name} ({reason})" if reason else self.name
        return Unavailable(reason=named, seconds=self.reset_timeout)

    def _record_failure(self) -> None:
        if self._with_state(self._count) >= self.failures:
            log.warning("circuit breaker open", system=self.name, seconds=self.reset_timeout)

    def _read(self, store: Any) -> str:
        if store.get(self._key("failures"), 0) < self.failures:
            return "closed"
        return "open" if store.get(self._key("open")) else "half-open"

    def _count(self, store: Any) -> int:
        store.add(self._key("failures"), 0, _FAILURES_EXPIRE_AFTER)
        failures: int = store.incr(self._key("failures"))
        if failures >= self.failures:
            store.set(self._key("open"), 1, self.reset_timeout)
            store.delete(self._key("trial"))
        return failures

    def _reset(self, store: Any) -> None:
        if store.get(self._key("failures"), 0):
            store.delete_many([self._key(part) for part in ("failures", "open", "trial")])

    def _key(self, part: str) -> str:
        return f"breaker:{self.name}:{part}"

    def _with_state(self, operation: Callable[[Any], Result]) -> Result:
        """Run an operation on the shared state, or on this process's while the cache fails."""
        try:
            return operation(cache)
        except Exception as error:
            log.warning("circuit breaker state not shared", system=self.name, error=str(error))
            return operation(self._local_state)


def _in_transaction() -> bool:
    # Django's tests wrap themselves in a transaction, which makes no other session wait.
    return any(not block._from_testcase for block in getattr(connection, "atomic_blocks", ()))


Adapter = TypeVar("Adapter")


def guarded(adapter: Adapter, breaker: CircuitBreaker) -> Adapter:
    """Return a proxy that calls each method of the adapter through the breaker."""
    # The proxy has the adapter's methods and no more, so the type checker may take it for one.
    return cast(Adapter, _Guarded(adapter, breaker))


class _Guarded:
    def __init__(self, adapter: object, breaker: CircuitBreaker) -> None:
        self._adapter, self._breaker = adapter, breaker

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._adapter, name)
        return partial(self._breaker.call, attribute) if callable(attribute) else attribute
