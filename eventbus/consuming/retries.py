"""What becomes of a delivery that failed: a retry with a growing pause, or a dead letter."""

import datetime as dt
import random
import re
import traceback
from typing import Any

from django.db import transaction
from django.db.models import F

from eventbus.cloudevents import to_cloudevent
from eventbus.conf import conf
from eventbus.errors import BadConsumer, BadPayload, GiveUp, WorkerKilled
from eventbus.events import Envelope
from eventbus.models import ConsumerHealth, DeadLetter, Retry
from infra import clock
from infra.errors import TryLater
from infra.failpoints import reach

FINAL = (GiveUp, BadPayload, BadConsumer)
_SUSPECT = {
    "error": "suspect: its worker may have died of it",
    "signature": "suspect: its worker may have died of it",
}


@transaction.atomic
def record_failure(consumer: str, envelope: Envelope, error: Exception) -> None:
    """Write down that a delivery failed, and when it is tried again, if it is."""
    now = clock.now()
    retry = _written_down(consumer, envelope, failed_at=now)
    if not isinstance(error, TryLater):
        retry.attempts += 1
    if isinstance(error, FINAL) or retry.attempts >= conf().MAX_ATTEMPTS:
        dead_letter(consumer, envelope, error, retry.attempts)
        retry.delete()
        return
    retry.next_at = now + _pause(retry.attempts, error)
    retry.error, retry.failed_at = format_error(error), now
    retry.signature = signature(consumer, error)
    retry.deliveries = 0  # it ended, so it killed nobody
    retry.save()
    _count_in_a_row(consumer, retry.next_at)
    reach("retry-moved")


def count_delivery(consumer: str, envelope: Envelope) -> None:
    """Count that a suspect event is begun, in a transaction of its own. Raises WorkerKilled.

    It goes again when nothing has come of it after LOST_AFTER: this may be a second copy of the
    message, whose dispatch another one has landed, and nobody would miss it.
    """
    lost_at = clock.now() + dt.timedelta(seconds=conf().LOST_AFTER)
    with transaction.atomic():
        retry = _written_down(consumer, envelope, failed_at=clock.now(), **_SUSPECT)
        retry.deliveries, retry.next_at = retry.deliveries + 1, lost_at
        retry.save()
    if retry.deliveries > conf().MAX_DELIVERIES:
        raise WorkerKilled(consumer=consumer, deliveries=retry.deliveries - 1, reason="killed")


def _written_down(consumer: str, envelope: Envelope, **new: Any) -> Retry:
    return Retry.objects.select_for_update().get_or_create(
        consumer=consumer, event_id=envelope.id, defaults=new | {"replayed": envelope.replayed}
    )[0]


def _count_in_a_row(consumer: str, probe_at: dt.datetime) -> None:
    new = {"failures": 1, "probe_at": probe_at}
    if not ConsumerHealth.objects.get_or_create(consumer=consumer, defaults=new)[1]:
        more = F("failures") + 1
        ConsumerHealth.objects.filter(pk=consumer).update(failures=more, probe_at=probe_at)


def dead_letter(consumer: str, envelope: Envelope, error: Exception, attempts: int) -> None:
    """Put a delivery among the dead letters, once."""
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


def signature(consumer: str, error: Exception) -> str:
    """Say what kind of failure this is, so that alike ones stand together."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}" if frames else "?"
    return re.sub(r"[0-9a-f-]{32,36}", "…", f"{consumer} {type(error).__name__} in {place}")[:300]


def format_error(error: Exception) -> str:
    """Return the error with its causes, the end first where it is long."""
    return "".join(traceback.format_exception(error))[-8000:]


def _pause(attempts: int, error: Exception) -> dt.timedelta:
    if isinstance(error, TryLater):
        return dt.timedelta(seconds=float(error.seconds))
    quick = conf().RETRY_DELAY
    if attempts <= conf().RETRIES_BEFORE_BACKOFF:
        return dt.timedelta(seconds=quick)
    # Full jitter: a thousand failures of one second do not come back in one second.
    ceiling = min(
        conf().MAX_RETRY_DELAY, quick * 2 ** (attempts - conf().RETRIES_BEFORE_BACKOFF + 1)
    )
    return dt.timedelta(seconds=random.uniform(quick, ceiling))
