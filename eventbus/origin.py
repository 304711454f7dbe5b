"""The origin of a change: actor, correlation and causation, carried from cause to effect."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from uuid import NAMESPACE_URL, UUID, uuid5

from opentelemetry import context as otel
from opentelemetry import propagate
from opentelemetry import trace as otel_trace

from eventbus.errors import ManyCauses
from eventbus.events import Envelope
from infra.ids import new_id


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The actor and the cause of everything that is written in its scope."""

    actor: str = ""
    correlation: UUID = field(default_factory=new_id)
    causation: UUID | None = None
    consumer: str = ""
    many_causes: bool = False

    @property
    def cause(self) -> str:
        """The cause as text: `event:<id>` or `request:<correlation>`."""
        return f"event:{self.causation}" if self.causation else f"request:{self.correlation}"

    def key(self, operation: str) -> str:
        """Return the idempotency key of an external call: consumer + event + operation."""
        return str(uuid5(NAMESPACE_URL, f"{self.consumer}/{self.causation}/{operation}"))


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def origin() -> Origin:
    """Return the current origin; outside requests and consumers a new one.

    Raises ManyCauses inside a `batch=True` handler.
    """
    current = _current.get() or Origin()
    if current.many_causes:
        raise ManyCauses(consumer=current.consumer)
    return current


@contextmanager
def acting_as(actor: str, correlation: UUID | None = None) -> Iterator[Origin]:
    """Set the actor: `customer:<id>`, `operator:<id>`, `command:<name>`."""
    with _scope(Origin(actor=actor, correlation=correlation or new_id())) as current:
        yield current


def set_actor(actor: str) -> None:
    """Set the actor of the current request, once it is authenticated."""
    current = _current.get()
    if current:
        _current.set(replace(current, actor=actor))


@contextmanager
def caused_by(envelope: Envelope, consumer: str) -> Iterator[None]:
    """Make an event the cause of everything that is published and written inside."""
    carrier = {"traceparent": envelope.traceparent, "tracestate": envelope.tracestate}
    token = otel.attach(propagate.extract({k: v for k, v in carrier.items() if v}))
    current = Origin(
        actor=envelope.actor,
        correlation=envelope.correlation,
        causation=envelope.id,
        consumer=consumer,
    )
    try:
        with _scope(current):
            yield
    finally:
        otel.detach(token)


@contextmanager
def caused_by_many(consumer: str) -> Iterator[None]:
    """Handle events of different causes together: a change inside has no single cause."""
    with _scope(Origin(consumer=consumer, many_causes=True)):
        yield


def trace_id() -> str:
    """Return the W3C trace id: of the current span, else made of the correlation.

    Both have 128 bits, so without tracing the correlation serves as trace id.
    """
    span = otel_trace.get_current_span().get_span_context()
    if span.is_valid:
        return format(span.trace_id, "032x")
    current = _current.get()
    return current.correlation.hex if current and not current.many_causes else ""


def trace_headers() -> tuple[str, str]:
    """Return W3C traceparent and tracestate of the current span, or empty strings."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", ""), carrier.get("tracestate", "")


@contextmanager
def _scope(current: Origin) -> Iterator[Origin]:
    token = _current.set(current)
    try:
        yield current
    finally:
        _current.reset(token)
