"""Fail open: while Redis is unreachable the cache is empty, after a bounded wait.

`CACHES["shared"]` is one of these, or, without Redis, a dummy. The `default` cache raises.
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
# Seconds. A session that could not be deleted while Redis was unreachable expires by then.
LONGEST = 300.0


class FailOpen(RedisCache):
    """Django's cache in Redis; while that is unreachable, nothing is found and nothing stored."""

    _paused_until = 0.0

    def attempt(self, work: Callable[[], Answer], instead: Answer) -> Answer:
        """Return the result of the work, or `instead` while Redis is unreachable."""
        if time.monotonic() < self._paused_until:
            return instead
        try:
            return work()
        except (RedisError, OSError) as error:
            FailOpen._paused_until = time.monotonic() + PAUSE  # caches are per thread, this is not
            log.warning("cache unreachable", reason=str(error), pause=PAUSE)
            return instead

    @property
    def redis(self) -> Any:
        """The server's own client, for `attempt`."""
        return self.client.get_client(write=True)

    def get(self, key: Any, default: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return the value, or the default."""
        get = super().get
        return self.attempt(lambda: get(key, default, *args, **kwargs), default)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        """Return the values that are found."""
        get_many = super().get_many
        return self.attempt(lambda: get_many(*args, **kwargs), {})

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, **kwargs: Any) -> bool:
        """Store a new value and return True; while unreachable True, so that no caller waits."""
        add = super().add
        return self.attempt(lambda: bool(add(key, value, _bounded(timeout), **kwargs)), True)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, **kwargs: Any) -> Any:
        """Store a value, for LONGEST at most."""
        set_one = super().set
        return self.attempt(lambda: set_one(key, value, _bounded(timeout), **kwargs), None)

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, **kwargs: Any) -> Any:
        """Store several values."""
        set_many = super().set_many
        return self.attempt(lambda: set_many(data, _bounded(timeout), **kwargs), [])

    def delete(self, *args: Any, **kwargs: Any) -> bool:
        """Delete a value."""
        delete = super().delete
        return self.attempt(lambda: delete(*args, **kwargs), False)

    def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        """Delete several values."""
        delete_many = super().delete_many
        return self.attempt(lambda: delete_many(*args, **kwargs), 0)

    def has_key(self, *args: Any, **kwargs: Any) -> bool:
        """Return whether a value is found."""
        has_key = super().has_key
        return self.attempt(lambda: bool(has_key(*args, **kwargs)), False)


def shared() -> Any:
    """Return the cache that all processes share, and can do without."""
    return caches[ALIAS]


def _bounded(timeout: Any) -> Any:
    if timeout is None or timeout is DEFAULT_TIMEOUT:
        return LONGEST
    return min(timeout, LONGEST)
