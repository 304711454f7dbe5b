"""The larder: copies kept at hand, by their textbook names. Knows no context and no bus.

The truth is always in the database; a cache that is away makes things slower, never wrong.
"""

from infra.caching.cache_aside import CacheAside
from infra.caching.write_behind import WriteBehind
from infra.caching.write_through import WriteThrough

__all__ = ["CacheAside", "WriteBehind", "WriteThrough"]
