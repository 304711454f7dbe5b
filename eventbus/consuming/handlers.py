"""The call of a handler: its arguments, its context, and the errors that would end a process."""

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from decimal import localcontext
from typing import Any
from uuid import UUID

from eventbus import registry
from eventbus.errors import BadConsumer, HandlerExited
from eventbus.events import Envelope
from eventbus.registry import Consumer


def run(consumer: Consumer, *arguments: Any, **named: Any) -> Any:
    """Call the handler. A coroutine or generator that it returns would never run."""
    with _exits_contained(consumer), localcontext():
        # In a context of its own, so that a language, time zone or decimal precision that it sets
        # ends with it.
        result = copy_context().run(consumer.handle, *arguments, **named)
    if inspect.isawaitable(result) or inspect.isgenerator(result):
        if inspect.iscoroutine(result):
            result.close()  # or Python warns that it was never awaited
        raise BadConsumer(consumer=consumer.name, problem=f"{registry.NEVER_RUN}: it returned one")
    return result


@contextmanager
def _exits_contained(consumer: Consumer) -> Iterator[None]:
    try:
        yield
    except Exception:
        raise
    except BaseException as error:
        # A signal ends a worker's child by these two, in its main thread; a handler that does so
        # by itself ends the child, too: its message comes again, and is counted.
        main = threading.current_thread() is threading.main_thread()
        if main and isinstance(error, SystemExit | KeyboardInterrupt):
            raise
        raise HandlerExited(consumer=consumer.name, error=type(error).__name__) from error


class Arguments:
    """Decodes each event of a message once: for its keys, or when the handler is called."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._decoded: dict[UUID, dict[str, Any]] = {}

    def of(self, envelope: Envelope) -> dict[str, Any]:
        """Return the arguments of one event. Raises BadPayload."""
        if envelope.id not in self._decoded:
            self._decoded[envelope.id] = self._consumer.arguments(envelope)
        return self._decoded[envelope.id]

    def keys_of(self, envelope: Envelope) -> list[str]:
        """Return the lock names of one event. Raises BadPayload."""
        # Without a key only unhandled events are decoded: a duplicate cannot fail by its payload.
        arguments = self.of(envelope) if self._consumer.key else {}
        return self._consumer.keys(arguments, envelope.aggregate)
