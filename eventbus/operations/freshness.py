"""Freshness of a read model: the time up to which its context has handled all events."""

import datetime as dt
from uuid import UUID

from django.db.models import Min, Q

from eventbus.models import DeadLetter, Dispatch, Event, Outbox, Parked, Retry
from infra import clock

# Several relays number their dispatches in any order: the oldest event is among the first rows.
FIRST_ROWS = 20


def handled_until(context: str) -> dt.datetime:
    """Return when the oldest event that the context has not handled was recorded, or now.

    A reader of the model afterwards finds all events committed before that time. The time may be
    earlier than necessary, as an event in the outbox may be for other contexts only.
    """
    # The tables are read in the order in which a delivery moves through them (a retry and a parked
    # event keep their rows while they are in flight), so one that moves is seen at least once.
    now = clock.now()
    unhandled = list(Outbox.objects.order_by("pk").values_list("event_id", flat=True)[:FIRST_ROWS])
    in_flight = Dispatch.objects.filter(consumer__startswith=f"{context}.").order_by("pk")
    for ids in in_flight.values_list("event_ids", flat=True)[:FIRST_ROWS]:
        unhandled += map(UUID, ids)
    failed = [
        Q(
            pk__in=table._default_manager.filter(consumer__startswith=f"{context}.").values(
                "event_id"
            )
        )
        for table in (Parked, Retry, DeadLetter)
    ]
    late = [Event.objects.filter(condition) for condition in (Q(pk__in=unhandled), *failed)]
    oldest = [events.aggregate(at=Min("recorded_at"))["at"] for events in late]
    return min(filter(None, oldest), default=now)
