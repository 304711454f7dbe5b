"""Who does this, and because of what: carried by each process from cause to effect."""

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
    """What everything written now is caused by."""

    actor: str = ""
    correlation: UUID = field(default_factory=new_id)
    causation: UUID | None = None
    consumer: str = ""
    of_many: bool = False

    @property
    def cause(self) -> str:
        """Name the cause in a word: `event:<id>` or `request:<correlation>`."""
        return f"event:{self.causation}" if self.causation else f"request:{self.correlation}"

    def key(self, operation: str) -> str:
        """Return the idempotency key of one call outside: consumer + event + operation."""
        return str(uuid5(NAMESPACE_URL, f"{self.consumer}/{self.causation}/{operation}"))


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def origin() -> Origin:
    """Return the origin in force; outside requests and consumers each call is its own.

    Raises ManyCauses inside a `batch=True` handler.
    """
    here = _current.get() or Origin()
    if here.of_many:
        raise ManyCauses(consumer=here.consumer)
    return here


@contextmanager
def acting_as(actor: str, correlation: UUID | None = None) -> Iterator[Origin]:
    """Say who acts: `customer:<id>`, `operator:<id>`, `command:<name>`."""
    with _in_force(Origin(actor=actor, correlation=correlation or new_id())) as here:
        yield here


def set_actor(actor: str) -> None:
    """Name the actor of the request in force, once it is known who it is."""
    here = _current.get()
    if here:
        _current.set(replace(here, actor=actor))


@contextmanager
def caused_by(envelope: Envelope, consumer: str) -> Iterator[None]:
    """Make an event the cause of all that is published and written inside."""
    carrier = {"traceparent": envelope.traceparent, "tracestate": envelope.tracestate}
    token = otel.attach(propagate.extract({k: v for k, v in carrier.items() if v}))
    here = Origin(
        actor=envelope.actor,
        correlation=envelope.correlation,
        causation=envelope.id,
        consumer=consumer,
    )
    try:
        with _in_force(here):
            yield
    finally:
        otel.detach(token)


@contextmanager
def caused_by_many(consumer: str) -> Iterator[None]:
    """Handle events of different causes at once: nothing inside has one."""
    with _in_force(Origin(consumer=consumer, of_many=True)):
        yield


def trace_id() -> str:
    """Return the W3C trace id of what is under way: of the span in force, else the correlation's.

    A correlation has 128 bits as a trace id has, so it can stand for one where nobody traces.
    """
    span = otel_trace.get_current_span().get_span_context()
    if span.is_valid:
        return format(span.trace_id, "032x")
    here = _current.get()
    return here.correlation.hex if here and not here.of_many else ""


def trace_headers() -> tuple[str, str]:
    """Return W3C traceparent and tracestate of the span in force, or empty strings."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent", ""), carrier.get("tracestate", "")


@contextmanager
def _in_force(here: Origin) -> Iterator[Origin]:
    token = _current.set(here)
    try:
        yield here
    finally:
        _current.reset(token)
