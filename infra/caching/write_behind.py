"""Write-behind: counts gather in Redis and go to the database in batches.

When Redis loses its memory, or a process dies between taking and writing a batch, the counts since
the last batch are lost: `every` seconds of them. Without Redis each count is written immediately.
"""

from collections.abc import Callable, Mapping

import structlog
from django.db import DatabaseError

from infra.caching.fail_open import FailOpen, shared

log = structlog.get_logger(__name__)


class WriteBehind:
    """Counters by key; `write` adds a batch to the database, called by the caller that is due."""

    def __init__(
        self, name: str, write: Callable[[Mapping[str, int]], object], *, every: float = 5.0
    ) -> None:
        self.name, self.write, self.every = name, write, every

    def add(self, key: str, amount: int = 1) -> None:
        """Count; write a batch where the last one is `every` seconds old."""
        cache = shared()
        due = cache.attempt(lambda: self._count(key, amount), None) if _in_redis(cache) else None
        if due is None:
            self.write({key: amount})
        elif due:
            self.flush()

    def flush(self) -> None:
        """Write the counts in Redis; on an error of the database they are put back."""
        cache = shared()
        counts = cache.attempt(self._take, {}) if _in_redis(cache) else {}
        try:
            if counts:
                self.write(counts)
        except DatabaseError as error:
            log.warning("counts not written", counter=self.name, reason=str(error))
            for key, amount in counts.items():
                cache.attempt(lambda k=key, n=amount: self._count(k, n), None)

    def _count(self, key: str, amount: int) -> bool:
        """Return whether a batch is due: True for one caller in `every` seconds."""
        with shared().redis.pipeline() as pipe:
            pipe.hincrby(self._counts, key, amount)
            pipe.set(f"{self._counts}:written", 1, nx=True, px=int(self.every * 1000))
            return bool(pipe.execute()[1])

    def _take(self) -> dict[str, int]:
        with shared().redis.pipeline() as pipe:  # one step: no count gets lost between the two
            pipe.hgetall(self._counts)
            pipe.delete(self._counts)
            return {key.decode(): int(n) for key, n in pipe.execute()[0].items()}

    @property
    def _counts(self) -> str:
        return str(shared().make_key(f"counts:{self.name}"))


def _in_redis(cache: object) -> bool:
    return isinstance(cache, FailOpen)
