"""Lost messages are found by markers, and sent again.

The relay sends a marker through each queue now and then. A dispatch that is still there, is older
than a worker may keep a message, and was confirmed before a marker that has arrived, was lost by
the broker. A long queue is not lost: its marker has not arrived. The in-process transport needs
no markers: its messages end with the process, and the next start sends all dispatches again.
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
    """Send a marker through each queue, mark lost dispatches unsent, and return their number.

    Raises BrokerUnreachable.
    """
    if transport.in_process:
        return 0
    now = clock.now()
    for queue in queues:
        if _marker_is_due(queue, now):
            transport.send_marker(queue, rfc3339(now))
    arrived = QueueMarker.objects.exclude(received_up_to=None)
    return sum(_mark_lost_unsent(marker, now) for marker in arrived)


def _marker_is_due(queue: str, now: dt.datetime) -> bool:
    QueueMarker.objects.get_or_create(queue=queue)
    # Several relays look at the same row; the one whose UPDATE matches sends the marker.
    latest = now - dt.timedelta(seconds=conf().MARKER_INTERVAL / 2)
    due = Q(sent_at=None) | Q(sent_at__lt=latest)
    return bool(QueueMarker.objects.filter(due, queue=queue).update(sent_at=now))


def _mark_lost_unsent(marker: QueueMarker, now: dt.datetime) -> int:
    oldest_kept = now - dt.timedelta(seconds=conf().LOST_AFTER)
    lost = Dispatch.objects.filter(
        consumer__startswith=f"{marker.queue}.",
        confirmed_at__lt=min(marker.received_up_to or oldest_kept, oldest_kept),
    )
    return lost.update(claimed_at=None, confirmed_at=None, deliveries=F("deliveries") + 1)
