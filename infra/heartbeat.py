"""Signs of life of a loop: a blocked one stops beating, though its process is there."""

import time


class Heartbeat:
    """Beat it from the loop; ask from another thread."""

    def __init__(self, blocked_after: float = 60.0) -> None:
        self.blocked_after = blocked_after  # seconds without a beat: then the loop is blocked
        self._beat = time.monotonic()
        self._resting = False
        self.waits = "starting"
        self.draining = False
        self.stopped = False

    def beat(self) -> None:
        """Say that the loop goes round."""
        self._beat, self._resting, self.waits = time.monotonic(), False, ""

    def rest(self, reason: str) -> None:
        """Say that the loop stands still for a reason of others, until its next beat."""
        self._resting, self.waits = True, reason

    def stop(self) -> None:
        """Say that the loop has ended as it should."""
        self.stopped = True

    @property
    def age(self) -> float:
        """Seconds since the last beat; none for a loop that rests."""
        return 0.0 if self._resting else time.monotonic() - self._beat
