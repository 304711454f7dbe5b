"""Logs an error that repeats: each kind once with its traceback, then its count at intervals."""

import time
from dataclasses import dataclass

import structlog

from eventbus.consuming.retries import signature

log = structlog.get_logger(__name__)

_FIRST_PAUSE = 10.0  # seconds until the first count; it doubles with each
_LONGEST_PAUSE = 600.0
_FORGOTTEN_AFTER = 3600.0  # seconds: what comes again after that is logged in full


@dataclass
class _Kind:
    last: float
    pause: float
    logged: float
    times: int = 0  # since it was logged


class RepeatedErrors:
    """The errors of one loop, which goes on and may fail each second in the same way."""

    def __init__(self, message: str) -> None:
        self.message = message
        self._kinds: dict[str, _Kind] = {}

    def log(self, error: BaseException) -> None:
        """Log the error, or only count it."""
        name, now = signature("relay", error), time.monotonic()
        kind = self._kinds.get(name)
        if kind is None or now - kind.last > _FORGOTTEN_AFTER:
            self._kinds[name] = _Kind(last=now, pause=_FIRST_PAUSE, logged=now)
            log.error(self.message, exc_info=error)
            return
        kind.last, kind.times = now, kind.times + 1
        if now - kind.logged >= kind.pause:
            log.error(f"{self.message} again", error=name, times=kind.times)
            kind.logged, kind.times = now, 0
            kind.pause = min(2 * kind.pause, _LONGEST_PAUSE)
