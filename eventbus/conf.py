"""The bus's settings: one dict, `EVENTBUS`, each key with its default and its reason."""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed


@dataclass(frozen=True, kw_only=True)
class Conf:
    """Times are seconds."""

    TRANSPORT: str = "eventbus.relay.transports.in_process.Embedded"
    BATCH: int = 50  # events in one message: 50 carry 49-80 thousand events/s, single ones 1.5-5
    CLAIM: int = 1000  # outbox rows in one claim
    SEND_DEADLINE: float = 30.0  # a message not confirmed by then is sent again
    IDLE: float = 0.2  # longest pause of a relay with nothing to do
    BROKER_PAUSE: float = 1.0  # between two probes of a broker that is away
    QUICK_RETRIES: int = 3  # attempts before the pauses grow
    QUICK_PAUSE: float = 0.5
    LONGEST_PAUSE: float = 300.0
    ATTEMPTS: int = 15  # then the dead letters
    LEASE: float = 60.0  # how long a call outside may take before another may try
    EXTERNAL_THREADS: int = 4  # calls outside at once, embedded only
    LOCKFILE: str = "var/relay.lock"
    BLOCKED: float = 60.0  # without a beat for so long a loop counts as blocked
    HEALTH_HOST: str = "127.0.0.1"
    HEALTH_PORT: int = 0  # where a relay or a worker answers probes; 0: nowhere
    DELIVERIES: int = 5  # of an event whose worker dies, then the dead letters
    PROBE_AFTER: int = 10  # failures in a row, then one delivery at a time
    PROBE_EVERY: float = 5.0
    MARKER_EVERY: float = 10.0  # a tick through each queue, and a look for what was lost
    # What is in flight longer, and was sent before a tick that arrived, is lost: longer than a
    # worker may keep a message (twice the hard limit, as it takes one in advance).
    LOST_AFTER: float = 310.0
    MAX_BYTES: int = 1_000_000  # of one event's payload


@lru_cache(maxsize=1)
def conf() -> Conf:
    """Return the settings of the bus, or say which key is not one."""
    given: dict[str, Any] = getattr(settings, "EVENTBUS", {})
    unknown = set(given) - {f.name for f in fields(Conf)}
    if unknown:
        raise ImproperlyConfigured(
            f"EVENTBUS has no setting {', '.join(sorted(unknown))}; "
            f"it has {', '.join(f.name for f in fields(Conf))}."
        )
    return Conf(**given)


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "EVENTBUS":
        conf.cache_clear()


setting_changed.connect(_forget)
