"""Single flight: of callers that miss the same key together, in any process, one loads it."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")

LEASE = 5.0  # seconds that the lock of a caller is respected, which may have died
LONGEST_WAIT = 2.0  # seconds; then a caller loads for itself
PAUSE = 0.02


def single_flight(
    cache: Any, name: str, look: Callable[[], Found | None], load: Callable[[], Found]
) -> Found:
    """Load a value, or wait until another caller has; `look` returns None until then."""
    deadline = time.monotonic() + LONGEST_WAIT
    while not cache.add(name, 1, LEASE):
        time.sleep(PAUSE)
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            return load()
    try:
        # Another caller may have loaded it between the miss and the lock.
        found = look()
        return load() if found is None else found
    finally:
        # After the lease this deletes the lock of another caller: one more query, no harm.
        cache.delete(name)
