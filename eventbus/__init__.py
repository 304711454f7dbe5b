"""The event bus: contexts publish events and subscribe to those of others, by name."""

from typing import TYPE_CHECKING

from eventbus.errors import EventBusError, GiveUp, NotInTransaction
from eventbus.events import Envelope, Event
from eventbus.origin import acting_as, origin
from eventbus.registry import consumer
from infra.errors import Refusal, TryLater

if TYPE_CHECKING:
    from eventbus.publishing.outbox import publish

__all__ = [
    "Envelope",
    "Event",
    "EventBusError",
    "GiveUp",
    "NotInTransaction",
    "Refusal",
    "TryLater",
    "acting_as",
    "consumer",
    "origin",
    "publish",
]


def __getattr__(name: str) -> object:
    # `publish` needs Django's models, which cannot be imported while apps are loading.
    if name == "publish":
        from eventbus.publishing.outbox import publish

        return publish
    raise AttributeError(f"module 'eventbus' has no attribute '{name}'")
