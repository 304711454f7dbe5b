"""Payloads made from contracts, so that a test names only the fields that matter."""

import re
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

from eventbus.publishing import contracts
from eventbus.publishing.compatibility import Schema, alternatives
from eventbus.publishing.serialization import rfc3339
from infra import clock

# Contracts call these fields just text; most code accepts only codes of the standards (ISO 4217,
# ISO 3166-1) and addresses.
_TEXTS = {"currency": "EUR", "country": "ID", "email": "someone@example.com"}


def payload_for(name: str, /, **given: Any) -> dict[str, Any]:
    """Return a payload of an event: the given fields, and the other required ones made up.

    Made-up values are the same in each run: a UUID depends on its field's name, so that the
    `order_id` of two events is the same; a number is 1, a decimal "1.00", a time is now.
    Raises AssertionError if the event has no contract, or a given field does not match it.
    """
    contract = contracts.published().get(name)
    assert contract, f"no context publishes {name}"
    plain: dict[str, Any] = msgspec.to_builtins(given)
    problems = list(_mismatches(plain, contract, contract, ""))
    assert not problems, f"{name}: {'; '.join(problems)}"
    made_up: dict[str, Any] = _example(contract, contract, "", plain)
    return made_up


def _example(schema: Schema, root: Schema, field: str, given: Any = None) -> Any:
    first = alternatives(schema, root)[0]
    if "enum" in first:
        return first["enum"][0]
    match first.get("type"):
        case "object":
            properties, required = first.get("properties", {}), first.get("required", ())
            made_up = {
                name: _example(properties[name], root, name)
                for name in required
                if name not in (given or {})
            }
            return made_up | (given or {})
        case "array":
            return [_example(first["items"], root, field)]
        case "integer":
            return first.get("minimum", 1)
        case "number":
            return first.get("minimum", 1.0)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return _text(first, field)


def _text(schema: Schema, field: str) -> str:
    match schema.get("format"):
        case "uuid":
            return str(uuid5(NAMESPACE_OID, field))
        case "decimal":
            return "1.00"
        case "date-time":
            return rfc3339(clock.now())
        case "date":
            return clock.now().date().isoformat()
    text = _TEXTS.get(field, field)
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _mismatches(value: Any, schema: Schema, root: Schema, field: str) -> Iterator[str]:
    """Yield a sentence for each value that its contract does not allow; a field may be absent."""
    allowed = alternatives(schema, root)
    fitting = [one for one in allowed if _has_type(value, one)]
    if not fitting:
        wanted = " or ".join(map(_type_of, allowed))
        yield f"'{field}' must be {wanted}, not {value!r}"
    elif fitting[0].get("type") == "array" and "items" in fitting[0]:
        for item in value:
            yield from _mismatches(item, fitting[0]["items"], root, f"{field}[]")
            yield from _missing(item, fitting[0]["items"], root, f"{field}[]")
    elif fitting[0].get("type") == "object" and "properties" in fitting[0]:
        yield from _field_mismatches(value, fitting[0], root, field)


def _field_mismatches(value: Any, schema: Schema, root: Schema, field: str) -> Iterator[str]:
    properties = schema["properties"]
    for name, part in value.items():
        path = f"{field}.{name}" if field else name
        if name in properties:
            yield from _mismatches(part, properties[name], root, path)
            yield from _missing(part, properties[name], root, path)
        else:
            yield f"no field '{path}'; it has {', '.join(properties)}"


def _missing(value: Any, schema: Schema, root: Schema, field: str) -> Iterator[str]:
    """Yield the required fields that a given object lacks: only the event itself is completed."""
    for alternative in alternatives(schema, root):
        if isinstance(value, dict) and alternative.get("type") == "object":
            for name in alternative.get("required", ()):
                if name not in value:
                    yield f"'{field}' lacks '{name}'"


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def _zoned_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time without a time zone")
    return time


_PARSERS: dict[str, Callable[[str], object]] = {
    "uuid": UUID,
    "decimal": Decimal,
    "date": date.fromisoformat,
    "date-time": _zoned_time,
}


def _has_type(value: Any, schema: Schema) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    wanted = schema.get("type")
    if wanted is None:
        return True
    if isinstance(value, bool) and wanted != "boolean":  # bool is an int in Python
        return False
    return isinstance(value, _TYPES[wanted]) and _keeps_limits(value, schema)


def _keeps_limits(value: Any, schema: Schema) -> bool:
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return False
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return False
        return _parses(value, schema.get("format", ""))
    if isinstance(value, int | float):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _parses(text: str, kind: str) -> bool:
    try:
        _PARSERS.get(kind, str)(text)
    except (ValueError, InvalidOperation):
        return False
    return True


def _type_of(schema: Schema) -> str:
    if "enum" in schema:
        return f"one of {', '.join(map(repr, schema['enum']))}"
    limits = [
        f"{limit} {schema[limit]}" for limit in ("minimum", "maximum", "pattern") if limit in schema
    ]
    kind = schema.get("format") or schema.get("type") or "anything"
    return " ".join([kind, *limits])
