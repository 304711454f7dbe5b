"""What the bus remembers. State is the table a row sits in."""

from eventbus.models.delivery import (
    DeadLetter,
    Flight,
    Inbox,
    Outbox,
    Retry,
    Subscription,
    Tick,
    Trouble,
)
from eventbus.models.desk import Action, Correction, Discarded, Outcome
from eventbus.models.log import Archive, Event, Fact, Position, Scheduled

__all__ = [
    "Action",
    "Archive",
    "Correction",
    "DeadLetter",
    "Discarded",
    "Event",
    "Fact",
    "Flight",
    "Inbox",
    "Outbox",
    "Outcome",
    "Position",
    "Retry",
    "Scheduled",
    "Subscription",
    "Tick",
    "Trouble",
]
