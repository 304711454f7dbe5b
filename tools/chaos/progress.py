"""How long a storm waits: as long as anything moves, for a slow machine is not a lost message."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

PATIENCE = 120.0  # seconds in which nothing at all happens
LOOK_EVERY = 1.0


class Stuck(Exception):
    """Something that should have come about has not."""


@dataclass
class Progress:
    """Runs out when for long nothing is seen that was not seen before."""

    look: Callable[[], Hashable]
    seconds: float = field(default_factory=lambda: PATIENCE)
    seen: set[Hashable] = field(default_factory=set)
    looked: float = 0.0
    moved: float = field(default_factory=time.monotonic)

    def gone(self) -> bool:
        """Look again, now and then."""
        now = time.monotonic()
        if now - self.looked >= LOOK_EVERY:
            self.looked, sight = now, self.look()
            if sight not in self.seen:
                self.seen.add(sight)
                self.moved = now
        return now - self.moved > self.seconds
