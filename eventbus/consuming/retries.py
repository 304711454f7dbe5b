"""Failed deliveries: a retry with a growing delay, or a dead letter."""

import datetime as dt
import random
import re
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from django.db.models import F

from eventbus import registry
from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.errors import (
    BadConsumer,
    BadPayload,
    GiveUp,
    NoCodeHere,
    NotInLog,
    SubscriptionEnded,
    WorkerKilled,
)
from eventbus.events import Envelope
from eventbus.models import ConsumerHealth, DeadLetter, Retry, Subscription
from infra import clock
from infra.database_errors import is_disk_full
from infra.errors import TryLater
from infra.failpoints import reach
from infra.transactions import atomic

log = structlog.get_logger(__name__)

_UNTIL_CODE_IS_DEPLOYED = 10.0  # seconds; then another worker may take the message
_LONGEST_TRY_LATER = dt.timedelta(days=30)
FINAL = (GiveUp, BadPayload, BadConsumer)  # a retry cannot help
_SUSPECT = {
    "error": "suspect: its worker may have been killed by it",
    "signature": "suspect: its worker may have been killed by it",
}


@atomic
def record_failure(consumer: str, envelope: Envelope, error: Exception) -> None:
    """Record that a delivery failed, and schedule its retry or make it a dead letter."""
    now = clock.now()
    retry = _locked_retry(consumer, envelope, failed_at=now)
    # A full disk may stay full for longer than all attempts take.
    if not (isinstance(error, TryLater) or is_disk_full(error)):
        retry.attempts += 1
    if isinstance(error, FINAL) or retry.attempts >= conf().MAX_ATTEMPTS:
        dead_letter(consumer, envelope, error, retry.attempts)
        retry.delete()
        return
    retry.next_at = now + _delay(retry.attempts, error)
    retry.error, retry.failed_at = format_error(error), now
    retry.signature = signature(consumer, error)
    retry.deliveries = 0  # it ended with an error, so it killed no worker
    retry.save()
    _count_failure(consumer, retry.next_at)
    reach("retry-moved")


def count_delivery(consumer: str, envelope: Envelope) -> None:
    """Count a suspect delivery, in its own transaction, before it begins. Raises WorkerKilled."""
    # Each death leaves the dispatch, and a retry of which another one is made. Counted anew, those
    # copies would kill workers as fast as new ones come.
    fatal = DeadLetter.objects.filter(consumer=consumer, event_id=envelope.id)
    if fatal.filter(signature__startswith=f"{consumer} {WorkerKilled.__name__} ").exists():
        raise WorkerKilled(consumer=consumer, deliveries=conf().MAX_DELIVERIES, reason="killed")
    # If it kills its worker, the retry is due after LOST_AFTER. Its dispatch cannot serve for that:
    # this may be a second copy of the message, whose dispatch the first copy has deleted.
    lost_at = clock.now() + dt.timedelta(seconds=conf().LOST_AFTER)
    deliveries = _count_one(consumer, envelope, lost_at)
    if deliveries > conf().MAX_DELIVERIES:
        raise WorkerKilled(consumer=consumer, deliveries=deliveries - 1, reason="killed")


@atomic
def _count_one(consumer: str, envelope: Envelope, lost_at: dt.datetime) -> int:
    retry = _locked_retry(consumer, envelope, failed_at=clock.now(), **_SUSPECT)
    retry.deliveries, retry.next_at = retry.deliveries + 1, lost_at
    retry.save()
    return retry.deliveries


def postpone_unknown(name: str, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """Record a retry for each event without code here; return the events that have code.

    During a deployment another process has the code. Without a subscription no code is expected.
    """
    consumer = registry.consumers.get(name)
    known = consumer.events if consumer else ()
    unknown = [envelope for envelope in envelopes if envelope.name not in known]
    subscribed = set(
        Subscription.objects.filter(consumer=name, until=None).values_list("event", flat=True)
    )
    for envelope in unknown:
        fields = {"consumer": name, "event": envelope.name}
        later = NoCodeHere(seconds=_UNTIL_CODE_IS_DEPLOYED, **fields)
        expected = envelope.name in subscribed
        record_failure(name, envelope, later if expected else SubscriptionEnded(**fields))
    log.warning("no code for this consumer here", consumer=name, events=len(unknown))
    return [envelope for envelope in envelopes if envelope.name in known]


def _locked_retry(consumer: str, envelope: Envelope, **defaults: Any) -> Retry:
    return Retry.objects.select_for_update().get_or_create(
        consumer=consumer,
        event_id=envelope.id,
        defaults=defaults | {"replayed": envelope.replayed},
    )[0]


def _count_failure(consumer: str, probe_at: dt.datetime) -> None:
    first = {"failures": 1, "probe_at": probe_at}
    if not ConsumerHealth.objects.get_or_create(consumer=consumer, defaults=first)[1]:
        ConsumerHealth.objects.filter(pk=consumer).update(
            failures=F("failures") + 1, probe_at=probe_at
        )


def dead_letter(consumer: str, envelope: Envelope, error: Exception, attempts: int) -> None:
    """Make a dead letter of a delivery, once."""
    DeadLetter.objects.get_or_create(
        consumer=consumer,
        event_id=envelope.id,
        defaults={
            "name": envelope.name,
            "attempts": attempts,
            "error": format_error(error),
            "signature": signature(consumer, error),
            "envelope": to_cloudevent(envelope),
            "died_at": clock.now(),
        },
    )


def dead_letter_unlogged(consumer: str, event: UUID) -> None:
    """Make a dead letter of a delivery whose event is not in the log, and delete its retry."""
    retry = Retry.objects.filter(consumer=consumer, event_id=event)
    error = NotInLog(event=event)
    DeadLetter.objects.get_or_create(
        consumer=consumer,
        event_id=event,
        defaults={
            "name": "unknown",
            "attempts": sum(retry.values_list("attempts", flat=True)),
            "error": str(error),
            "signature": signature(consumer, error),
            "envelope": {"specversion": "1.0", "id": str(event), "type": "unknown", "data": {}},
            "died_at": clock.now(),
        },
    )
    retry.delete()


def signature(consumer: str, error: BaseException) -> str:
    """Return the kind of failure (consumer, exception, function), by which failures are grouped."""
    frames = traceback.extract_tb(error.__traceback__)
    place = frames[-1].name if frames else "?"
    kind = _storable(f"{consumer} {type(error).__name__} in {place}")
    return re.sub(r"[0-9a-f-]{32,36}", "…", kind)[:300]


def format_error(error: Exception) -> str:
    """Return the traceback with its causes; of a long one the last 8000 characters."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as unprintable:  # its own __str__ fails
        text = f"{type(error).__name__}, which cannot be printed: {unprintable!r}"
    return _storable(text)[-8000:]


def _storable(text: str) -> str:
    # PostgreSQL holds neither NUL nor lone surrogates.
    return text.replace("\0", "\\0").encode(errors="backslashreplace").decode()


def _delay(attempts: int, error: Exception) -> dt.timedelta:
    if isinstance(error, TryLater):
        with suppress(ValueError, TypeError, OverflowError, AttributeError):  # any value, or none
            return min(dt.timedelta(seconds=float(error.seconds)), _LONGEST_TRY_LATER)
    first, fixed = conf().RETRY_DELAY, conf().RETRIES_BEFORE_BACKOFF
    if attempts <= fixed:
        return dt.timedelta(seconds=first)
    # Full jitter: a thousand failures of one second do not come back in one second.
    longest = min(conf().MAX_RETRY_DELAY, first * 2 ** (attempts - fixed + 1))
    return dt.timedelta(seconds=random.uniform(first, longest))
