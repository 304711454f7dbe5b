"""The canonical JSON form of events.

Decimal and UUID are strings, times are RFC 3339 in UTC with microseconds. Values that JSON or
PostgreSQL cannot hold (NaN, NUL, lone surrogates) are refused in the publisher's transaction.
"""

import datetime as dt
import math
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from eventbus.conf import conf
from eventbus.errors import BadPayload
from eventbus.events import Event, name_of


def payload_of(event: Event) -> dict[str, Any]:
    """Return the event as plain JSON values, validated against its own contract.

    Raises BadPayload.
    """
    event_type: Any = type(event)
    try:
        payload: dict[str, Any] = msgspec.to_builtins(event, builtin_types=(dt.datetime, Decimal))
        payload = _plain(payload)
        raw = msgspec.json.encode(payload)
        _decoder(event_type).decode(raw)
    except (ValueError, TypeError) as error:
        raise BadPayload(name=name_of(event_type), problem=error) from error
    if len(raw) > conf().MAX_PAYLOAD_BYTES:
        raise BadPayload(
            name=name_of(event_type),
            problem=f"{len(raw)} bytes, more than EVENTBUS.MAX_PAYLOAD_BYTES",
        )
    return payload


@cache
def _decoder(event_type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(event_type)


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {_plain(k): _plain(v) for k, v in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(v) for v in value]
        case str() if "\0" in value:
            raise ValueError("text contains NUL")
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} is not a JSON number")
        case Decimal():
            if not value.is_finite():
                raise ValueError(f"{value} is not a number")
            return format(value, "f")
        case dt.datetime():
            return rfc3339(value)
        case _:
            return value


def rfc3339(value: dt.datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds."""
    if value.tzinfo is None:
        raise ValueError("a time without a time zone")
    return value.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
