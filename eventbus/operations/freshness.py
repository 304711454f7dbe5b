"""How fresh a read model is: up to when its consumers have heard all that was said.

Tables are looked at in the order in which deliveries move through them (a retry keeps its row
while it is in flight), so what moves meanwhile is met at least once. Whoever reads the model
afterwards finds all news committed before the moment returned.
"""

import datetime as dt
from uuid import UUID

from django.db.models import Min, Q

from eventbus.models import DeadLetter, Dispatch, Event, Outbox, Retry
from infra import clock

# Relays side by side number their dispatches in any order: so many of the first are looked into.
FIRST = 20


def handled_until(context: str) -> dt.datetime:
    """Return when the oldest event that waits for a consumer of the context was recorded, or now.

    What waits in the outbox may be for others: then the answer is older than it need be.
    """
    now = clock.now()
    waiting = list(Outbox.objects.order_by("pk").values_list("event_id", flat=True)[:FIRST])
    flying = Dispatch.objects.filter(consumer__startswith=f"{context}.").order_by("pk")
    for ids in flying.values_list("event_ids", flat=True)[:FIRST]:
        waiting += map(UUID, ids)
    failed = [
        Q(
            pk__in=table._default_manager.filter(consumer__startswith=f"{context}.").values(
                "event_id"
            )
        )
        for table in (Retry, DeadLetter)
    ]
    late = [Event.objects.filter(which) for which in (Q(pk__in=waiting), *failed)]
    oldest = [events.aggregate(at=Min("recorded_at"))["at"] for events in late]
    return min(filter(None, oldest), default=now)
