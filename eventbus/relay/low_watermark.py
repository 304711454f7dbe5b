"""Below which id the outbox need not be looked at.

With one old snapshot open, a poll walks over rows deleted long ago: 8.8 ms instead of 0.36. So a
relay looks from a floor on. A naive floor loses events (T1 takes id 1, T2 takes 2 and commits, the
floor becomes 2, T1 commits); this one rises only past ids whose possible writers have all ended.
"""

import time

from django.db import connection

_LOOK_EVERY = 1.0  # seconds
_IGNORE_EVERY = 10.0  # seconds: another relay may have died with rows in its claim


class LowWatermark:
    """Of one relay; SQLite has one writer and needs none."""

    def __init__(self) -> None:
        self._floor = 0
        self._candidate: tuple[int, int] | None = None  # the highest id, and whose writers end
        self._ended = False
        self._looked = self._ignored = time.monotonic()

    def lowest(self) -> int:
        """Return from which id on the next claim has to look; now and then from the beginning."""
        if connection.vendor != "postgresql":
            return 0
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._look()
        if now - self._ignored >= _IGNORE_EVERY:
            self._ignored = now
            return 0
        return self._floor

    def note(self, ran_dry: bool) -> None:
        """Say whether the claim took all there was: then what comes is above the candidate."""
        # A claim that began before the writers had ended may have missed what they committed.
        if self._ended and ran_dry and self._candidate:
            self._floor, self._candidate, self._ended = self._candidate[0] + 1, None, False

    def _look(self) -> None:
        with connection.cursor() as cursor:
            # First the id, then the snapshot: who has taken an id by then, has begun by then.
            cursor.execute(_LAST)
            (last,) = cursor.fetchone()
            cursor.execute(_SNAPSHOT)
            oldest, newest = cursor.fetchone()
        if self._candidate is None:
            self._candidate = last, newest
        elif oldest >= self._candidate[1]:
            self._ended = True


_LAST = """
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('eventbus_outbox', 'id')), 0)
"""
_SNAPSHOT = """
SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint
  FROM pg_current_snapshot() s
"""
