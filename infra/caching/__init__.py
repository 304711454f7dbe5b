"""Caching patterns by their textbook names. Imports no context and no bus.

The database always has the truth; without the cache everything is slower, and nothing is wrong.
"""

from infra.caching.cache_aside import CacheAside
from infra.caching.write_behind import WriteBehind
from infra.caching.write_through import WriteThrough

__all__ = ["CacheAside", "WriteBehind", "WriteThrough"]
