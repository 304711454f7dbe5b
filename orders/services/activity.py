"""Activity of other contexts, for the overview of an order."""

import datetime as dt
from collections.abc import Mapping
from uuid import UUID

import msgspec

from infra.transactions import atomic
from orders.models import (
    OrderActivity,
)


@atomic
def record_activity(
    order_id: UUID,
    part: OrderActivity.Part,
    subject_id: UUID,
    recorded_at: dt.datetime,
    details: Mapping[str, object],
) -> None:
    """Keep an event of another context about an order, unless a later one is kept already."""
    values = {
        "order_id": order_id,
        "details": msgspec.to_builtins(details),
        "recorded_at": recorded_at,
    }
    activity, created = OrderActivity.objects.get_or_create(
        part=part, subject_id=subject_id, defaults=values
    )
    if not created and activity.recorded_at < recorded_at:
        activity.details, activity.recorded_at = values["details"], recorded_at
        activity.save()
