"""Counts for rate limits in the memory of one process."""

import time
from collections import deque
from itertools import islice
from threading import Lock

from limits.storage import MemoryStorage

MOST_CALLERS = 100_000


class ThreadSafeMemoryStorage(MemoryStorage):
    """The times of requests for the moving window of `limits`, safe for threads and bounded.

    Its own MemoryStorage starts a timer in `acquire_entry`, and of threads that race there some
    end in "threads can only be started once".
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._times: dict[str, deque[float]] = {}  # oldest first

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a request and return True, or return False where the limit is reached."""
        now = time.time()
        with self._lock:
            if key not in self._times and len(self._times) >= MOST_CALLERS:
                self._forget_some()
            times = self._times.setdefault(key, deque())
            while times and times[0] < now - expiry:
                times.popleft()
            if len(times) + amount > limit:
                return False
            times.extend([now] * amount)
            return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the time of the oldest request that counts, and how many count."""
        now = time.time()
        with self._lock:
            times = [at for at in self._times.get(key, ()) if at >= now - expiry]
        return (times[0], len(times)) if times else (now, 0)

    def _forget_some(self) -> None:
        # As Django's cache in memory does; the first callers go first.
        for key in list(islice(self._times, MOST_CALLERS // 3)):
            del self._times[key]
