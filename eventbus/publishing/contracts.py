"""Contracts: the JSON Schema (2020-12) of each event, locked in the producer's `contracts/`.

A contract only grows: readers of the old one can read new events, and readers of the new one can
read old events. So a field added later has a default for ever.
"""

import inspect
import json
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec
from django.apps import apps

from eventbus.errors import ContractShrank
from eventbus.events import Event, event_types

Schema = dict[str, Any]


def path_of(name: str) -> Path:
    """Return the file of an event's contract."""
    app, _, event = name.partition(".")
    return Path(apps.get_app_config(app).path, "contracts", f"{event}.json")


def schema_of(payload_type: type[Event] | type[msgspec.Struct]) -> Schema:
    """Return the JSON Schema of an event, or of the fields that a consumer reads."""
    schema = msgspec.json.schema(payload_type)
    definitions = schema["$defs"]
    for part in definitions.values():
        if "description" in part:  # Python 3.13 removes the indentation, older ones do not
            part["description"] = inspect.cleandoc(part["description"])
    body = definitions.pop(schema["$ref"].rpartition("/")[2])
    only_for = getattr(payload_type, "only_for", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **body,
        **({"x-only-for": only_for} if only_for else {}),
        **({"$defs": definitions} if definitions else {}),
    }


def published() -> dict[str, Schema]:
    """Return all locked contracts by event name, read from their files."""
    return {
        f"{config.label}.{path.stem}": json.loads(path.read_text())
        for config in apps.get_app_configs()
        for path in sorted(Path(config.path, "contracts").glob("*.json"))
    }


def nearest(name: str, published: Iterable[str]) -> str | None:
    """Return the event that a misspelt name most likely means: in its context, if it has one."""
    context, _, event = name.partition(".")

    def rank(candidate: str) -> tuple[bool, int, int, str]:
        of, _, other = candidate.partition(".")
        # orders.OrderPaid and orders.OrderPlaced are both two edits from orders.OrderPayed.
        return of != context, _distance(event, other), -_common_prefix(event, other), candidate

    near = [rank(c) for c in published if _distance(event, c.partition(".")[2]) <= len(event) // 3]
    return min(near)[-1] if near else None


def _common_prefix(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _distance(one: str, other: str) -> int:
    """Return the Levenshtein distance: inserted, deleted and replaced characters."""
    row = list(range(len(other) + 1))
    for i, character in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, other_character in enumerate(other, 1):
            cheapest = min(row[j] + 1, row[j - 1] + 1, diagonal + (character != other_character))
            diagonal, row[j] = row[j], cheapest
    return row[-1]


def stale() -> list[str]:
    """Return the events whose code and locked contract differ."""
    locked = published()
    return sorted(
        name for name, event in event_types.items() if locked.get(name) != schema_of(event)
    )


def lock() -> list[str]:
    """Write the contracts that are new or have grown, and return their names.

    Raises ContractShrank, and writes nothing, where one would break a reader.
    """
    locked, names = published(), stale()
    for name in names:
        for problem in breaking_changes(locked.get(name), schema_of(event_types[name])):
            raise ContractShrank(name=name, problem=problem)
    for name in names:
        path = path_of(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(schema_of(event_types[name]), indent=2) + "\n")
    return names


def breaking_changes(old: Schema | None, new: Schema) -> list[str]:
    """Return the changes of a contract that would break a reader; a new contract has none."""
    if old is None:
        return []
    today = [f"{problem} for its readers of today" for problem in incompatibilities(old, new)]
    return today + [
        f"{problem} in events already published" for problem in incompatibilities(new, old)
    ]


def incompatibilities(wanted: Schema, offered: Schema) -> list[str]:
    """Return sentences on the fields where a reader and a contract disagree."""
    return list(_compare(wanted, offered, wanted, offered, ""))


def _compare(want: Schema, offer: Schema, wants: Schema, offers: Schema, at: str) -> Iterator[str]:
    wanted = _alternatives(want, wants)
    for alternative in _alternatives(offer, offers):
        match = next((w for w in wanted if _accepts(w, alternative)), None)
        if match is None:
            yield f"'{at}' may be {_kind(alternative)}, not {' or '.join(map(_kind, wanted))}"
        elif alternative.get("type") == "array" and "items" in match:
            items = alternative.get("items", {})
            yield from _compare(match["items"], items, wants, offers, f"{at}[]")
        elif alternative.get("type") == "object":
            yield from _compare_fields(match, alternative, wants, offers, at)


def _compare_fields(
    want: Schema, offer: Schema, wants: Schema, offers: Schema, at: str
) -> Iterator[str]:
    offered = offer.get("properties", {})
    for name, field in want.get("properties", {}).items():
        here = f"{at}.{name}" if at else name
        required = name in want.get("required", ())
        if name in offered:
            if required and name not in offer.get("required", ()):
                yield f"'{here}' may be absent"
            yield from _compare(field, offered[name], wants, offers, here)
        elif required:
            yield f"no field '{here}'"


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    if "$ref" in schema:
        return _alternatives(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return [a for one in schema["anyOf"] for a in _alternatives(one, root)]
    return [schema]


def _accepts(want: Schema, offer: Schema) -> bool:
    if want.keys() <= {"description", "title", "default"}:
        return True
    if "enum" in want:
        return "enum" in offer and set(offer["enum"]) <= set(want["enum"])
    wanted, offered = _kind(want), _kind(offer)
    if "enum" in offer:
        return all(wanted == _NAMES.get(type(value)) for value in offer["enum"])
    return wanted == offered or (wanted, offered) == ("number", "integer")


_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _kind(schema: Schema) -> str:
    return str(schema.get("format") or schema.get("type") or schema.get("enum") or "anything")
