"""What the broker lost is found again.

A flight that is still there, is older than any worker may keep a message, and was sent before a
tick that has come through the same queue, was lost: it goes again. A long queue is not lost, as
its tick has not come through. In one process messages die with it, and the next start sends all.
"""

import datetime as dt
from collections.abc import Iterable

from django.db.models import F, Q

from eventbus import clock
from eventbus.conf import conf
from eventbus.models import Flight, Tick
from eventbus.transports import Transport
from eventbus.wire import moment


def sweep(transport: Transport, queues: Iterable[str]) -> int:
    """Send a tick through each queue, and mark lost flights unsent; return how many. BrokerAway."""
    if transport.in_process:
        return 0
    now = clock.now()
    for queue in queues:
        if _is_our_turn(queue, now):
            transport.tick(queue, moment(now))
    return sum(_mark_lost(tick, now) for tick in Tick.objects.exclude(heard_at=None))


def _is_our_turn(queue: str, now: dt.datetime) -> bool:
    Tick.objects.get_or_create(queue=queue)
    due = Q(sent_at=None) | Q(sent_at__lt=now - dt.timedelta(seconds=conf().TICK_EVERY / 2))
    return bool(Tick.objects.filter(due, queue=queue).update(sent_at=now))


def _mark_lost(tick: Tick, now: dt.datetime) -> int:
    long_ago = now - dt.timedelta(seconds=conf().LOST_AFTER)
    lost = Flight.objects.filter(
        consumer__startswith=f"{tick.queue}.",
        confirmed_at__lt=min(tick.heard_at or long_ago, long_ago),
    )
    return lost.update(claimed_at=None, confirmed_at=None, deliveries=F("deliveries") + 1)
