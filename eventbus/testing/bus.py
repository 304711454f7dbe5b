"""The whole bus in one thread: real outbox, relay and inbox, without broker.

`Bus("calm")` delivers in order and in batches, `Bus("echo")` delivers everything twice,
`Bus("jumble", seed)` delivers single events in a shuffled order. Outcomes must not differ.
"""

import datetime as dt
import random
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.test import override_settings

from eventbus import registry
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.events import Envelope, Event, event_types
from eventbus.models import DeadLetter, Retry
from eventbus.models import Event as Log
from eventbus.operations.causation import as_tree
from eventbus.relay.relay import Relay
from eventbus.relay.transports import Message
from eventbus.testing.payloads import payload_for
from eventbus.testing.subscribing import subscribe_exactly
from infra import clock
from infra.ids import new_id


class InMemoryTransport:
    """Keeps the messages in a list, from which a test takes them."""

    in_process = True

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, messages: Sequence[Message]) -> list[int]:
        """Keep the messages, and confirm all."""
        self.messages += messages
        return [message.dispatch for message in messages]

    def send_marker(self, queue: str, sent_at: str) -> None:
        """Ignore the marker: no message is lost in memory."""

    def close(self) -> None:
        """Do nothing: there is no connection."""


class Bus:
    """The bus of a test. `weather` is the order of deliveries: calm, echo, or jumble."""

    def __init__(self, weather: str = "calm", seed: int = 0) -> None:
        self.weather, self._random = weather, random.Random(seed)
        self._transport = InMemoryTransport()
        self._relay = Relay(self._transport)
        subscribe_exactly()

    def settle(
        self, *, allow_failures: bool = False, until: Callable[[], object] = lambda: False
    ) -> None:
        """Deliver until no event is left, or until a condition holds.

        Raises AssertionError if a consumer failed, unless failures are allowed.
        """
        size = 1 if self.weather == "jumble" else 50
        with override_settings(EVENTBUS={**getattr(settings, "EVENTBUS", {}), "BATCH_SIZE": size}):
            while not until() and self._collect():
                message = self._next()
                for _ in range(2 if self.weather == "echo" else 1):
                    deliver(message.dispatch, message.consumer, message.events, message.suspect)
        if not allow_failures:
            self.assert_no_failures()

    def later(self, **span: float) -> None:
        """Move the clock forward (`minutes=16`), and deliver the events that are due then."""
        clock.offset += dt.timedelta(**span)
        self.settle(allow_failures=True)

    def story(self) -> list[str]:
        """Return the tree of causes as indented lines, in the order of the log."""
        return ["  " * depth + fact.name for depth, fact in as_tree(Log.objects.all())]

    def payloads(self, name: str) -> list[dict[str, Any]]:
        """Return the payloads of all published events of one name."""
        return [e.payload for e in Log.objects.filter(name=name).order_by("position")]

    def assert_no_failures(self) -> None:
        """Raise AssertionError with the consumer's own traceback if one has failed."""
        _assert_no_failures()

    def _collect(self) -> bool:
        self._relay.run_once()
        while not self._transport.messages and self._relay.run_once():
            continue
        return bool(self._transport.messages)

    def _next(self) -> Message:
        messages = self._transport.messages
        shuffled = self.weather == "jumble"
        return messages.pop(self._random.randrange(len(messages)) if shuffled else 0)


def hear(name: str, /, **payload: Any) -> UUID:
    """Deliver an event of another context to this process's consumers, and return its id.

    Required fields that are not given are made up from the contract (see `payload_for`), which the
    given ones must match. Raises AssertionError if they do not, or if a consumer fails.
    """
    plain = payload_for(name, **payload)
    envelope = Envelope(
        id=new_id(), name=name, payload=plain, recorded_at=clock.now(), correlation=new_id()
    )
    for consumer in registry.consumers_of(name):
        deliver(0, consumer.name, [to_cloudevent(envelope)])
    _assert_no_failures()
    return envelope.id


def said(context: str | None = None) -> list[Event]:
    """Return the published events, oldest first; of one context if it is named."""
    return [
        msgspec.convert(logged.payload, event_types[logged.name])
        for logged in Log.objects.order_by("position")
        if context is None or logged.name.startswith(f"{context}.")
    ]


def _assert_no_failures() -> None:
    failures: list[DeadLetter | Retry] = list(DeadLetter.objects.all())
    for failed in [*failures, *Retry.objects.exclude(attempts=0)]:
        raise AssertionError(f"{failed.consumer} failed:\n{failed.error}")
