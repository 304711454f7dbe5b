"""The low watermark: outbox ids below it are all claimed, so polls start there.

While an old snapshot is open, a poll from the beginning walks over rows deleted long ago: 8.8 ms
instead of 0.36. A watermark that follows the highest id seen loses events: T1 takes id 1, T2 takes
2 and commits, the watermark becomes 3, T1 commits. This one rises only past ids whose possible
writers have all ended.
"""

import time

from django.db import connection

_READ_INTERVAL = 1.0  # seconds between two reads of the sequence and the snapshot
_FULL_SCAN_INTERVAL = 10.0  # seconds: another relay may have died and released rows below


class LowWatermark:
    """The watermark of one relay; on SQLite, which has one writer, it stays 0."""

    def __init__(self) -> None:
        self._watermark = 0
        # The highest id, and the transaction id below which all its possible writers are.
        self._candidate: tuple[int, int] | None = None
        self._writers_ended = False
        self._read_at = self._full_scan_at = time.monotonic()

    def next_start(self) -> int:
        """Return the id from which the next claim starts; now and then 0, for a full scan."""
        if connection.vendor != "postgresql":
            return 0
        now = time.monotonic()
        if now - self._read_at >= _READ_INTERVAL:
            self._read_at = now
            self._read()
        if now - self._full_scan_at >= _FULL_SCAN_INTERVAL:
            self._full_scan_at = now
            return 0
        return self._watermark

    def record_claim(self, *, exhausted: bool) -> None:
        """Raise the watermark to the candidate after a claim that left no row below it."""
        # A claim that began before the writers had ended may have missed their commits.
        if self._writers_ended and exhausted and self._candidate:
            self._watermark = self._candidate[0] + 1
            self._candidate, self._writers_ended = None, False

    def _read(self) -> None:
        with connection.cursor() as cursor:
            # First the id, then the snapshot: a transaction with an id up to it has begun by then.
            cursor.execute(_LAST_ID)
            (last_id,) = cursor.fetchone()
            cursor.execute(_SNAPSHOT)
            oldest, newest = cursor.fetchone()
        if self._candidate is None:
            self._candidate = last_id, newest
        elif oldest >= self._candidate[1]:
            self._writers_ended = True


_LAST_ID = """
SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('eventbus_outbox', 'id')), 0)
"""
_SNAPSHOT = """
SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint
  FROM pg_current_snapshot() s
"""
