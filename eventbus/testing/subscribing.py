"""Which consumers receive events during a test."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import transaction

from eventbus import registry
from eventbus.registry import Consumer
from eventbus.relay import subscriptions


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
    """Test one context: consumers of other contexts receive nothing meanwhile."""
    return _only(lambda consumer: consumer.context == context)


@contextmanager
def without(context: str) -> Iterator[None]:
    """Let one context receive nothing meanwhile, nor the missed events afterwards."""
    with _only(lambda consumer: consumer.context != context):
        subscriptions.sync()
        yield
    subscriptions.sync()


@contextmanager
def _only(selected: Callable[[Consumer], bool]) -> Iterator[None]:
    registered = dict(registry.consumers)
    registry.consumers.clear()
    registry.consumers.update({name: c for name, c in registered.items() if selected(c)})
    try:
        yield
    finally:
        registry.consumers.clear()
        registry.consumers.update(registered)
