"""How a context calls other systems: few at once, behind a circuit breaker, never in a transaction.

The breaker (Nygard, *Release It!*) is closed, open, or half-open: after some failures in a row it
rests, then lets one call of all processes through. Its state lies in the cache, so processes share
it; while the cache is away each keeps its own: the breaker never makes an outage of its own.
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
Answer = TypeVar("Answer")

_MEMORY_OF_A_FAILURE = 3600  # seconds


class CircuitBreaker:
    """Another system.

    failures: so many in a row open the breaker. rest: seconds until it lets one call through.
    at_once: calls under way at once in this process; who finds no place within `rest` is refused.
    answers: errors that are an answer (a declined card), not a failure.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        rest: float = 10.0,
        at_once: int = 8,
        answers: tuple[type[Exception], ...] = (),
    ) -> None:
        self.name, self.failures, self.rest, self.answers = name, failures, rest, answers
        self._places = threading.BoundedSemaphore(at_once)
        self._own = LocMemCache(f"breaker-{name}", {})

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return self._shared(self._look)

    def call(self, ask: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
        """Ask, and return the answer. Raises Away where it is not even worth asking."""
        assert not _in_transaction(), f"{self.name} is asked in a transaction, which would wait"
        if self.state == "open":
            raise Unavailable(reason=self.name, seconds=self.rest)
        with self._place():
            self._enter()
            return self._ask(ask, *args, **kwargs)

    def _ask(self, ask: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
        try:
            answer = ask(*args, **kwargs)
        except self.answers:
            self.close()
            raise
        except Exception:
            self._failed()
            raise
        self.close()
        return answer

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=self.rest):
            raise Unavailable(reason=f"{self.name} (too many calls under way)", seconds=self.rest)
        try:
            yield
        finally:
            self._places.release()

    def close(self) -> None:
        """Forget the failures."""
        self._shared(self._forget)

    def _enter(self) -> None:
        """Look again: it may have opened while we waited for a place."""
        state = self.state
        # `add` is atomic: of all processes one makes the trial call.
        trial = state == "half-open" and self._shared(
            lambda store: store.add(self._key("trial"), 1, self.rest)
        )
        if state != "closed" and not trial:
            raise Unavailable(reason=self.name, seconds=self.rest)

    def _failed(self) -> None:
        if self._shared(self._count) >= self.failures:
            log.warning("circuit breaker open", outside=self.name, rest=self.rest)

    def _look(self, store: Any) -> str:
        if store.get(self._key("failures"), 0) < self.failures:
            return "closed"
        return "open" if store.get(self._key("open")) else "half-open"

    def _count(self, store: Any) -> int:
        store.add(self._key("failures"), 0, _MEMORY_OF_A_FAILURE)
        failures: int = store.incr(self._key("failures"))
        if failures >= self.failures:
            store.set(self._key("open"), 1, self.rest)
            store.delete(self._key("trial"))
        return failures

    def _forget(self, store: Any) -> None:
        if store.get(self._key("failures"), 0):
            store.delete_many([self._key(word) for word in ("failures", "open", "trial")])

    def _key(self, word: str) -> str:
        return f"breaker:{self.name}:{word}"

    def _shared(self, work: Callable[[Any], Answer]) -> Answer:
        """Work on the state all processes share, or, while it is away, on our own."""
        try:
            return work(cache)
        except Exception as away:
            log.warning("breaker state not shared", outside=self.name, error=str(away))
            return work(self._own)


def _in_transaction() -> bool:
    # The transaction that Django's tests wrap around themselves holds nobody up.
    return any(not block._from_testcase for block in getattr(connection, "atomic_blocks", ()))


Adapter = TypeVar("Adapter")


def guarded(adapter: Adapter, breaker: CircuitBreaker) -> Adapter:
    """Return a proxy that calls each method of the adapter through the breaker."""
    # The proxy has the adapter's methods and no more, so a type checker may see the adapter.
    return cast(Adapter, _Guarded(adapter, breaker))


class _Guarded:
    def __init__(self, adapter: object, breaker: CircuitBreaker) -> None:
        self._adapter, self._breaker = adapter, breaker

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._adapter, name)
        return partial(self._breaker.call, attribute) if callable(attribute) else attribute
