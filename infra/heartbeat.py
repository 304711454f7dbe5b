"""Heartbeat of a loop: a blocked loop stops beating although its process is alive."""

import time


class Heartbeat:
    """The loop beats it; a health check in another thread reads it."""

    def __init__(self, blocked_after: float = 60.0) -> None:
        self.blocked_after = blocked_after  # seconds without a beat
        self._last_beat = time.monotonic()
        self._paused = False
        self.paused_because = "starting"
        self.draining = False
        self.stopped = False

    def beat(self) -> None:
        """Record that the loop runs."""
        self._last_beat, self._paused, self.paused_because = time.monotonic(), False, ""

    def pause(self, reason: str) -> None:
        """Record that the loop waits for another system; until the next beat it is not blocked."""
        self._paused, self.paused_because = True, reason

    def stop(self) -> None:
        """Record that the loop has ended as intended."""
        self.stopped = True

    @property
    def age(self) -> float:
        """Seconds since the last beat; 0 for a paused loop."""
        return 0.0 if self._paused else time.monotonic() - self._last_beat
