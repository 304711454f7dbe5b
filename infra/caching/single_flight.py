"""Single dispatch: of all who miss the same at once, in whatever process, one asks the database."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")

LEASE = 5.0  # seconds: who holds the lock longer (or died) is not waited for any more
PATIENCE = 2.0  # seconds: who has waited so long asks the database after all
PAUSE = 0.02


def single_flight(
    cache: Any, name: str, look: Callable[[], Found | None], load: Callable[[], Found]
) -> Found:
    """Load, or wait for what another caller loads; `look` returns None until it is there."""
    deadline = time.monotonic() + PATIENCE
    while not cache.add(name, 1, LEASE):
        time.sleep(PAUSE)
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            return load()
    try:
        # Another may have landed between our miss and our lock.
        found = look()
        return load() if found is None else found
    finally:
        # Past the lease this frees another's lock: one query more, nothing worse.
        cache.delete(name)
