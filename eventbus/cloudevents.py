"""The wire format: a CloudEvents 1.0 JSON object, inside the deployment and outside.

Extension attributes: correlationid, causationid, aggregateversion, actor, replayed (true, or left
out), and the distributed-tracing extension's traceparent and tracestate.
"""

import datetime as dt
from typing import Any
from uuid import UUID

from eventbus.events import Envelope
from eventbus.publishing.serialization import rfc3339

_EXTENSIONS = {
    "subject": "aggregate",
    "aggregateversion": "aggregate_version",
    "traceparent": "traceparent",
    "tracestate": "tracestate",
    "actor": "actor",
}


def to_cloudevent(envelope: Envelope) -> dict[str, Any]:
    """Return the event in CloudEvents 1.0 structured JSON form; empty attributes are left out."""
    context, _, _ = envelope.name.partition(".")
    optional = {key: getattr(envelope, field) for key, field in _EXTENSIONS.items()}
    if envelope.causation:
        optional["causationid"] = str(envelope.causation)
    if envelope.replayed:
        optional["replayed"] = True
    return {
        "specversion": "1.0",
        "id": str(envelope.id),
        "source": f"/{context}",
        "type": envelope.name,
        "time": rfc3339(envelope.recorded_at),
        "datacontenttype": "application/json",
        "correlationid": str(envelope.correlation),
        **{key: value for key, value in optional.items() if value not in ("", None)},
        "data": envelope.payload,
    }


def from_cloudevent(event: dict[str, Any]) -> Envelope:
    """Decode the result of `to_cloudevent`. Raises KeyError or ValueError on anything else."""
    causation = event.get("causationid")
    optional = {field: event[key] for key, field in _EXTENSIONS.items() if key in event}
    return Envelope(
        id=UUID(event["id"]),
        name=event["type"],
        payload=event["data"],
        recorded_at=dt.datetime.fromisoformat(event["time"]),
        correlation=UUID(event["correlationid"]),
        causation=UUID(causation) if causation else None,
        replayed=event.get("replayed", False),
        **optional,
    )
