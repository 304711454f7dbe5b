"""How long a chaos test waits: as long as anything changes, since slow is not lost."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

STALL_TIMEOUT = 120.0  # seconds without any change
POLL_INTERVAL = 1.0


class Stuck(Exception):
    """An expected state was not reached."""


@dataclass
class Progress:
    """Counts as stalled once `observe` has returned only known values for some seconds."""

    observe: Callable[[], Hashable]
    seconds: float = field(default_factory=lambda: STALL_TIMEOUT)
    seen: set[Hashable] = field(default_factory=set)
    observed_at: float = 0.0
    changed_at: float = field(default_factory=time.monotonic)

    def stalled(self) -> bool:
        """Observe, at most every POLL_INTERVAL seconds."""
        now = time.monotonic()
        if now - self.observed_at >= POLL_INTERVAL:
            self.observed_at, value = now, self.observe()
            if value not in self.seen:
                self.seen.add(value)
                self.changed_at = now
        return now - self.changed_at > self.seconds
