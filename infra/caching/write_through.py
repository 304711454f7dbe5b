"""Write-through: a value is written to the database and, after the commit, into the cache."""

from collections.abc import Callable

from django.db import transaction

from infra.caching.cache_aside import CacheAside, Value
from infra.transactions import atomic


class WriteThrough(CacheAside[Value]):
    """Cache-aside whose writers store the new copy themselves."""

    @atomic
    def write(self, key: str, save: Callable[[], object]) -> None:
        """Save in a transaction; once committed, the next reader finds the new value."""
        save()
        self.invalidate(key)
        # Loaded again: of two racing writers neither may store the other's old value.
        transaction.on_commit(lambda: self.get(key), robust=True)
