"""Models of the bus. The state of a delivery is the table that its row is in."""

from eventbus.models.delivery import (
    ConsumerHealth,
    DeadLetter,
    Dispatch,
    Duplicates,
    Inbox,
    Outbox,
    Parked,
    Pause,
    QueueMarker,
    Retry,
    Subscription,
)
from eventbus.models.log import Archive, Event, Fact, Position, Scheduled
from eventbus.models.operations import Action, Correction, DiscardedDeadLetter, Outcome

__all__ = [
    "Action",
    "Archive",
    "ConsumerHealth",
    "Correction",
    "DeadLetter",
    "DiscardedDeadLetter",
    "Dispatch",
    "Duplicates",
    "Event",
    "Fact",
    "Inbox",
    "Outbox",
    "Outcome",
    "Parked",
    "Pause",
    "Position",
    "QueueMarker",
    "Retry",
    "Scheduled",
    "Subscription",
]
