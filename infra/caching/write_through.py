"""Write-through: what is written goes to the database and, as that commits, into the cache."""

from collections.abc import Callable

from django.db import transaction

from infra.caching.cache_aside import CacheAside, Value


class WriteThrough(CacheAside[Value]):
    """Cache-aside whose writers leave the new copy themselves."""

    def write(self, key: str, save: Callable[[], object]) -> None:
        """Save in a transaction; once committed, the next reader finds the new value."""
        with transaction.atomic():
            save()
            self.invalidate(key)
            # Loaded, not passed on: of two writers at once, neither leaves the other's old value.
            transaction.on_commit(lambda: self.get(key), robust=True)
