"""Which consumers receive events during a test."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import transaction

from eventbus import registry
from eventbus.models import Subscription
from eventbus.registry import Consumer
from eventbus.relay import subscriptions
from infra import clock


def subscribe_exactly() -> None:
    """Subscribe the registered consumers; end all further subscriptions."""
    subscriptions.sync()
    declared = {(c.name, event) for c in registry.consumers.values() for event in c.events}
    for row in Subscription.objects.filter(until=None):
        if (row.consumer, row.event) not in declared:
            Subscription.objects.filter(pk=row.pk).update(until=clock.now())


@contextmanager
def listening(*consumers: Consumer) -> Iterator[None]:
    """Add consumers for the length of a test, subscribed from now on."""
    for consumer in consumers:
        registry.consumers[consumer.name] = consumer
    try:
        with transaction.atomic():
            subscribe_exactly()
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
        subscribe_exactly()
        yield
    subscribe_exactly()


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
