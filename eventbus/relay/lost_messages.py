"""What the broker lost is found again.

A dispatch that is still there, is older than any worker may keep a message, and was sent before a
tick that has come through the same queue, was lost: it goes again. A long queue is not lost, as
its tick has not come through. In one process messages die with it, and the next start sends all.
"""

import datetime as dt
from collections.abc import Iterable

from django.db.models import F, Q

from eventbus.conf import conf
from eventbus.models import Dispatch, QueueMarker
from eventbus.publishing.serialization import rfc3339
from eventbus.relay.transports import Transport
from infra import clock


def resend_lost(transport: Transport, queues: Iterable[str]) -> int:
    """Send a marker through each queue, mark lost dispatches unsent, and return how many.

    Raises BrokerAway.
    """
    if transport.in_process:
        return 0
    now = clock.now()
    for queue in queues:
        if _is_our_turn(queue, now):
            transport.send_marker(queue, rfc3339(now))
    return sum(_mark_lost(tick, now) for tick in QueueMarker.objects.exclude(received_up_to=None))


def _is_our_turn(queue: str, now: dt.datetime) -> bool:
    QueueMarker.objects.get_or_create(queue=queue)
    due = Q(sent_at=None) | Q(sent_at__lt=now - dt.timedelta(seconds=conf().MARKER_INTERVAL / 2))
    return bool(QueueMarker.objects.filter(due, queue=queue).update(sent_at=now))


def _mark_lost(tick: QueueMarker, now: dt.datetime) -> int:
    long_ago = now - dt.timedelta(seconds=conf().LOST_AFTER)
    lost = Dispatch.objects.filter(
        consumer__startswith=f"{tick.queue}.",
        confirmed_at__lt=min(tick.received_up_to or long_ago, long_ago),
    )
    return lost.update(claimed_at=None, confirmed_at=None, deliveries=F("deliveries") + 1)
