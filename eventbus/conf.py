"""Settings of the bus: one dict, `EVENTBUS`, each key with its default and its reason."""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

_MAY_BE_ZERO = {"HEALTH_PORT", "RETRIES_BEFORE_BACKOFF"}


@dataclass(frozen=True, kw_only=True)
class Conf:
    """The keys of `EVENTBUS`. Times are seconds."""

    TRANSPORT: str = "eventbus.relay.transports.in_process.Embedded"

    # --- the relay
    LOCKFILE: str = "var/relay.lock"  # embedded: the process that holds it is the relay
    CLAIM_SIZE: int = 1000  # outbox rows in one claim
    BATCH_SIZE: int = 50  # events in a message: 50 make 49-80 thousand events/s, single ones 1.5-5
    # A message of so many bytes takes no more events. It is one event longer at most, and twice as
    # long once its quotes are escaped; RabbitMQ refuses more than 16 MiB.
    MAX_MESSAGE_BYTES: int = 1_000_000
    # A claim of so much stored payload takes no more events. The relay holds their messages in
    # memory, one for each consumer; large payloads are stored compressed and are longer there.
    MAX_CLAIM_BYTES: int = 16_000_000
    MAX_POLL_INTERVAL: float = 0.2  # of an idle relay; a busy one polls every 0.01
    BROKER_RETRY_INTERVAL: float = 1.0  # between two attempts to reach the broker or the database
    SEND_DEADLINE: float = 30.0  # a message that the broker has not confirmed by then is sent again
    MARKER_INTERVAL: float = 10.0  # between two markers through a queue, and two searches for lost
    # A dispatch that is older, and was confirmed before a marker that arrived, is lost. Longer than
    # a worker may keep a message: twice the hard time limit, as a worker takes one in advance.
    LOST_AFTER: float = 310.0

    # --- consumers
    EXTERNAL_THREADS: int = 4  # embedded: concurrent calls of external consumers
    # An external call may take so long before another delivery calls: longer than a task may run.
    LEASE_SECONDS: float = 160.0
    RETRIES_BEFORE_BACKOFF: int = 3  # after RETRY_DELAY each; then the delays double
    RETRY_DELAY: float = 0.5
    MAX_RETRY_DELAY: float = 300.0
    MAX_ATTEMPTS: int = 15  # then the event is a dead letter
    MAX_DELIVERIES: int = 5  # of an event whose worker is killed; then it is a dead letter
    PROBE_AFTER_FAILURES: int = 10  # in a row; then the consumer gets one delivery at a time
    PROBE_INTERVAL: float = 5.0  # between two such deliveries

    # --- publishers
    MAX_PAYLOAD_BYTES: int = 1_000_000  # of one event

    # --- health of relays and workers
    BLOCKED_AFTER: float = 60.0  # a loop without a heartbeat for so long counts as blocked
    HEALTH_HOST: str = "127.0.0.1"
    HEALTH_PORT: int = 0  # of /health/live and /health/ready; 0: none

    def __post_init__(self) -> None:
        """Raise ImproperlyConfigured unless every number is above 0, where 0 has no meaning."""
        for f in fields(self):
            value, least = getattr(self, f.name), 0 if f.name in _MAY_BE_ZERO else 1e-9
            if isinstance(f.default, str):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
                raise ImproperlyConfigured(
                    f"EVENTBUS[{f.name!r}] is {value!r}; it must be a number"
                    f" {'of at least' if f.name in _MAY_BE_ZERO else 'above'} 0."
                )


@lru_cache(maxsize=1)
def conf() -> Conf:
    """Return the settings of the bus. Raises ImproperlyConfigured for an unknown key."""
    given: dict[str, Any] = getattr(settings, "EVENTBUS", {})
    unknown = set(given) - {f.name for f in fields(Conf)}
    if unknown:
        raise ImproperlyConfigured(
            f"EVENTBUS has no setting {', '.join(sorted(unknown))}; "
            f"it has {', '.join(f.name for f in fields(Conf))}."
        )
    return Conf(**given)


def _reload(*, setting: str, **kwargs: Any) -> None:
    if setting == "EVENTBUS":
        conf.cache_clear()


setting_changed.connect(_reload)
