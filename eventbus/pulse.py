"""Signs of life of a loop: a blocked one stops beating, though its process is there."""

import time


class Pulse:
    """Beat it from the loop; ask from another thread."""

    def __init__(self) -> None:
        self._beat = time.monotonic()
        self.draining = False
        self.stopped = False

    def beat(self) -> None:
        """Say that the loop goes round."""
        self._beat = time.monotonic()

    def stop(self) -> None:
        """Say that the loop has ended as it should."""
        self.stopped = True

    @property
    def age(self) -> float:
        """Seconds since the last beat."""
        return time.monotonic() - self._beat
