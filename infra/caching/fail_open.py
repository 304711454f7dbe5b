"""Fail open: a Redis that is away is a Redis that knows nothing, for a bounded wait.

`CACHES["shared"]` is one of these, or, without Redis, a dummy. The `default` cache raises as ever:
what must fail closed (the limit of log-ins) uses that one.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.cache import RedisCache
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

ALIAS = "shared"
PAUSE = 2.0  # seconds: of all reads, only one in so long waits for a server that does not answer
# Seconds. What could not be deleted while Redis was away (a session that ended) is gone by then.
LONGEST = 300.0


class FailOpen(RedisCache):
    """Django's cache in Redis; while it is away, nothing is found and nothing is kept."""

    _rests_until = 0.0

    def attempt(self, work: Callable[[], Answer], instead: Answer) -> Answer:
        """Work, or leave a server that failed alone for a while and return the other answer."""
        if time.monotonic() < self._rests_until:
            return instead
        try:
            return work()
        except (RedisError, OSError) as away:
            FailOpen._rests_until = time.monotonic() + PAUSE  # caches are per thread, this is not
            log.warning("cache unreachable", reason=str(away), pause=PAUSE)
            return instead

    @property
    def redis(self) -> Any:
        """The server's own client, for `attempt`."""
        return self.client.get_client(write=True)

    def get(self, key: Any, default: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return what is kept, or the default."""
        found = super().get
        return self.attempt(lambda: found(key, default, *args, **kwargs), default)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        """Return what is kept of many."""
        found = super().get_many
        return self.attempt(lambda: found(*args, **kwargs), {})

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, **kwargs: Any) -> bool:
        """Keep what is new; while away everything is, so that nobody waits for anybody."""
        keep = super().add
        return self.attempt(lambda: bool(keep(key, value, _bounded(timeout), **kwargs)), True)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, **kwargs: Any) -> Any:
        """Keep, for LONGEST at the most."""
        keep = super().set
        return self.attempt(lambda: keep(key, value, _bounded(timeout), **kwargs), None)

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, **kwargs: Any) -> Any:
        """Keep many."""
        keep = super().set_many
        return self.attempt(lambda: keep(data, _bounded(timeout), **kwargs), [])

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        """Forget."""
        forget = super().delete
        return self.attempt(lambda: forget(*args, **kwargs), False)

    def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        """Forget many."""
        forget = super().delete_many
        return self.attempt(lambda: forget(*args, **kwargs), 0)

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        """Return whether something is kept."""
        look = super().has_key
        return self.attempt(lambda: bool(look(*args, **kwargs)), False)


def shared() -> Any:
    """Return the cache that all processes share and nobody needs."""
    return caches[ALIAS]


def _bounded(timeout: Any) -> Any:
    if timeout is None or timeout is DEFAULT_TIMEOUT:
        return LONGEST
    return min(timeout, LONGEST)
