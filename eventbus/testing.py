"""Helpers for those who write consumers: the whole bus in one thread, under any weather.

`Bus("calm")` delivers in order and in batches, `Bus("echo")` delivers everything twice,
`Bus("jumble", seed)` delivers single events in a shuffled order. Outcomes must not differ.
"""

import datetime as dt
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import UUID

import msgspec
from django.apps import apps
from django.db import transaction
from django.test import override_settings

from eventbus import registry
from eventbus.cloudevents import to_cloudevent
from eventbus.consuming.delivery import deliver
from eventbus.events import Envelope, Event, event_types
from eventbus.models import DeadLetter, Retry
from eventbus.models import Event as Log
from eventbus.operations.causation import as_tree
from eventbus.publishing import contracts
from eventbus.registry import Consumer
from eventbus.relay import subscriptions
from eventbus.relay.relay import Relay
from eventbus.relay.transports import Message
from infra import clock
from infra.ids import new_id


class InMemoryTransport:
    """A transport that keeps the messages until somebody picks one."""

    in_process = True

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, messages: Sequence[Message]) -> list[int]:
        """Take everything."""
        self.messages += messages
        return [message.dispatch for message in messages]

    def send_marker(self, queue: str, sent_at: str) -> None:
        """Take no ticks: nothing is lost in a basket."""

    def close(self) -> None:
        """Hold nothing back."""


class Bus:
    """The bus of a test: real outbox, real relay, real inbox, no broker and no threads."""

    def __init__(self, weather: str = "calm", seed: int = 0) -> None:
        self.weather, self._dice = weather, random.Random(seed)
        self._basket = InMemoryTransport()
        self._relay = Relay(self._basket)
        subscriptions.sync()

    def settle(self, *, trouble: bool = False, until: Callable[[], object] = lambda: False) -> None:
        """Deliver until nobody has anything left to say, or until something is so.

        A consumer that fails fails the test, unless `trouble` is expected.
        """
        batch = 1 if self.weather == "jumble" else 50
        with override_settings(EVENTBUS={**_settings(), "BATCH_SIZE": batch}):
            while not until() and self._collect():
                message = self._pick()
                for _ in range(2 if self.weather == "echo" else 1):
                    deliver(message.dispatch, message.consumer, message.events, message.suspect)
        if not trouble:
            self.must_be_well()

    def _collect(self) -> bool:
        self._relay.turn()
        while not self._basket.messages and self._relay.turn():
            continue
        return bool(self._basket.messages)

    def _pick(self) -> Message:
        waiting = self._basket.messages
        return waiting.pop(self._dice.randrange(len(waiting)) if self.weather == "jumble" else 0)

    def must_be_well(self) -> None:
        """Raise AssertionError with the consumer's own traceback where one has failed."""
        _must_be_well()

    def later(self, **span: float) -> None:
        """Let time pass (`minutes=16`) and settle what it brought."""
        clock.offset += dt.timedelta(**span)
        self.settle(trouble=True)

    def story(self) -> list[str]:
        """Return the tree of causes as indented lines, in the order of the log."""
        return ["  " * depth + fact.name for depth, fact in as_tree(Log.objects.all())]

    def told(self, name: str) -> list[dict[str, Any]]:
        """Return the payloads of all events of one name."""
        return [e.payload for e in Log.objects.filter(name=name).order_by("position")]


def _settings() -> dict[str, Any]:
    from django.conf import settings

    return dict(getattr(settings, "EVENTBUS", {}))


def _must_be_well() -> None:
    failures: list[DeadLetter | Retry] = list(DeadLetter.objects.all())
    for failed in [*failures, *Retry.objects.exclude(attempts=0)]:
        raise AssertionError(f"{failed.consumer} failed:\n{failed.error}")


def hear(name: str, /, **payload: Any) -> UUID:
    """Let this process's consumers hear an event that another context would publish.

    The payload is held against the locked contract: a test cannot invent a fact that was never
    promised. Returns the event's id. Raises AssertionError.
    """
    plain: dict[str, Any] = msgspec.to_builtins(payload)
    contract = contracts.published().get(name)
    assert contract, f"nobody promises {name}"
    missing = [field for field in contract.get("required", ()) if field not in plain]
    unknown = [field for field in plain if field not in contract["properties"]]
    assert not missing, f"{name} always has {missing}"
    assert not unknown, f"{name} promises no {unknown}"
    event = Log(id=new_id(), name=name, payload=plain, correlation=new_id())
    envelope = Envelope(
        id=event.id, name=name, payload=plain, recorded_at=clock.now(), correlation=new_id()
    )
    for consumer in registry.consumers_of(name):
        deliver(0, consumer.name, [to_cloudevent(envelope)])
    _must_be_well()
    return envelope.id


def said(context: str | None = None) -> list[Event]:
    """Return what has been published, as events, oldest first; of one context if it is named."""
    facts = Log.objects.order_by("position")
    return [
        msgspec.convert(fact.payload, event_types[fact.name])
        for fact in facts
        if context is None or fact.name.startswith(f"{context}.")
    ]


@contextmanager
def listening(*consumers: Consumer) -> Iterator[None]:
    """Add consumers for the length of a test, subscribed from now on."""
    for consumer in consumers:
        registry.consumers[consumer.name] = consumer
    try:
        with transaction.atomic():
            subscriptions.sync()
        yield
    finally:
        for consumer in consumers:
            registry.consumers.pop(consumer.name, None)


def alone(context: str) -> AbstractContextManager[None]:
    """Test one context: nobody else hears anything meanwhile."""
    return _hearing(lambda consumer: consumer.context == context)


@contextmanager
def without(context: str) -> Iterator[None]:
    """Let one context hear nothing meanwhile, nor afterwards what it missed."""
    with _hearing(lambda consumer: consumer.context != context):
        subscriptions.sync()
        yield
    subscriptions.sync()


@contextmanager
def _hearing(who: Callable[[Consumer], bool]) -> Iterator[None]:
    everybody = dict(registry.consumers)
    registry.consumers.clear()
    registry.consumers.update({n: c for n, c in everybody.items() if who(c)})
    try:
        yield
    finally:
        registry.consumers.clear()
        registry.consumers.update(everybody)


def contexts() -> list[str]:
    """Return the contexts of this house: the apps that say or hear something."""
    names = {name.partition(".")[0] for name in [*event_types, *registry.consumers]}
    return sorted(label for label in names if apps.is_installed(label))
