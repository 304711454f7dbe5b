"""How a room calls other systems: few at once, behind a circuit breaker, never in a transaction.

The breaker (Nygard, *Release It!*) is closed, open, or half-open: after some failures in a row it
rests, then lets one call of all processes through. Its state lies in the cache, so processes share
it; while the cache is away each keeps its own: the breaker never makes an outage of its own.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache

from eventbus.errors import Away

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

_MEMORY_OF_A_FAILURE = 3600  # seconds


class Outside:
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
        if self._state("get", "failures", 0) < self.failures:
            return "closed"
        return "open" if self._state("get", "open") else "half-open"

    def call(self, ask: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
        """Ask, and return the answer. Raises Away where it is not even worth asking."""
        state = self.state
        # `add` is atomic: of all processes one makes the trial call.
        if state == "open" or (
            state == "half-open" and not self._state("add", "trial", 1, self.rest)
        ):
            raise Away(reason=self.name, seconds=self.rest)
        if not self._places.acquire(timeout=self.rest):
            raise Away(reason=f"{self.name} (too many calls under way)", seconds=self.rest)
        try:
            answer = ask(*args, **kwargs)
        except self.answers:
            self.close()
            raise
        except Exception:
            self._failed()
            raise
        finally:
            self._places.release()
        self.close()
        return answer

    def close(self) -> None:
        """Forget the failures."""
        if self._state("get", "failures", 0):
            for key in ("failures", "open", "trial"):
                self._state("delete", key)

    def _failed(self) -> None:
        self._state("add", "failures", 0, _MEMORY_OF_A_FAILURE)
        if self._state("incr", "failures") >= self.failures:
            self._state("set", "open", 1, self.rest)
            self._state("delete", "trial")
            log.warning("circuit breaker open", outside=self.name, rest=self.rest)

    def _state(self, operation: str, key: str, *args: Any) -> Any:
        key = f"breaker:{self.name}:{key}"
        try:
            return getattr(cache, operation)(key, *args)
        except Exception as away:
            log.warning("breaker state not shared", outside=self.name, error=str(away))
            return getattr(self._own, operation)(key, *args)


