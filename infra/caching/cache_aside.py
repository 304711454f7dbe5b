"""Cache-aside: look in the cache, else ask the database and leave a copy for the next reader.

A copy carries the lease that was in force *before* its query (Nishtala et al., *Scaling Memcache
at Facebook*, 2013). Invalidating ends the lease, so a copy that was read before a change and stored
after it is not used.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

from django.db import transaction

from infra.caching.fail_open import shared
from infra.caching.single_flight import single_flight

Value = TypeVar("Value")


class CacheAside(Generic[Value]):
    """Copies of the values that `load` returns, by key; a key without a value is cached as missing.

    ttl: seconds, the longest use of a copy whose invalidation got lost; the shortest is a fifth
    less, so that copies made together do not expire together. as_one: all are invalidated
    together. Read outside transactions: a copy must not hold a change that is not committed.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[Sequence[str]], Mapping[str, Value]],
        *,
        ttl: float,
        as_one: bool = False,
    ) -> None:
        self.name, self.load, self.ttl, self.as_one = name, load, ttl, as_one

    def get(self, key: str) -> Value | None:
        """Return one value, or None where there is none."""
        return self.get_many([key])[key]

    def get_many(self, keys: Iterable[str]) -> dict[str, Value | None]:
        """Return a value, or None, for each key."""
        wanted = sorted(set(keys))
        found = self._look(wanted)
        missing = [key for key in wanted if key not in found]
        return found | self._load_once(missing) if missing else found

    def invalidate(self, *keys: str) -> None:
        """Invalidate copies, once the current transaction has committed."""
        leases = [self._lease(key) for key in keys or [""]]
        transaction.on_commit(lambda: shared().delete_many(leases), robust=True)

    def _look(self, keys: Sequence[str]) -> dict[str, Value | None]:
        copies = shared().get_many([*map(self._copy, keys), *map(self._lease, keys)])
        found = {}
        for key in keys:
            lease, value = copies.get(self._copy(key), (None, None))
            if lease and lease == copies.get(self._lease(key)):
                found[key] = value
        return found

    def _load_once(self, keys: Sequence[str]) -> dict[str, Value | None]:
        dispatch = f"dispatch:{self.name}:{sha256(chr(0).join(keys).encode()).hexdigest()}"

        def look() -> dict[str, Value | None] | None:
            found = self._look(keys)
            return found if len(found) == len(keys) else None

        return single_flight(shared(), dispatch, look, lambda: self._load(keys))

    def _load(self, keys: Sequence[str]) -> dict[str, Value | None]:
        leases = {key: self._leased(self._lease(key)) for key in keys}  # before the query
        loaded = self.load(keys)
        values = {key: loaded.get(key) for key in keys}
        copies = {self._copy(key): (leases[key], value) for key, value in values.items()}
        shared().set_many(copies, self.ttl * random.uniform(0.8, 1))
        return values

    def _leased(self, name: str) -> Any:
        lease = uuid4().hex
        # Where the lease has expired meanwhile, the copy is not used.
        return lease if shared().add(name, lease, 2 * self.ttl) else shared().get(name)

    def _copy(self, key: str) -> str:
        return f"copy:{self.name}:{_plain(key)}"

    def _lease(self, key: str) -> str:
        return f"lease:{self.name}" if self.as_one else f"lease:{self.name}:{_plain(key)}"


def _plain(key: str) -> str:
    """Return a key that any cache accepts: without blanks, and not too long."""
    plain = quote(key)
    return plain if len(plain) <= 150 else sha256(key.encode()).hexdigest()
