"""Consumers that tests make for themselves, in no context's folder."""

from collections.abc import Callable
from typing import Any

from eventbus import registry
from eventbus.registry import Consumer


def make_consumer(
    handle: Callable[..., Any],
    *events: str,
    context: str = "orders",
    **options: Any,
) -> Consumer:
    """Return an unregistered consumer; it reads ProductRetired unless events are named."""
    names = events or ("orders.ProductRetired",)
    return registry.build(f"{context}.{handle.__name__}", handle, *names, **options)
