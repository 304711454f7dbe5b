"""Contracts: the JSON Schema (2020-12) of each event, locked in the producer's `contracts/`.

A contract only grows: readers of the old one can read new events, and readers of the new one can
read old events. So a field added later has a default for ever.
"""

import inspect
import json
from pathlib import Path

import msgspec
from django.apps import apps
from django.conf import settings

from eventbus.errors import ContractShrank
from eventbus.events import Event, event_types
from eventbus.publishing.compatibility import Schema, breaking_changes


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


def stale() -> list[str]:
    """Return the events whose code and locked contract differ."""
    locked = published()
    return sorted(
        name for name, event in event_types.items() if locked.get(name) != schema_of(event)
    )


def without_code() -> list[str]:
    """Return the contracts whose events no code here publishes: their context is not installed.

    A contract beside a context that is not among the installed apps is found by its folder.
    """
    beside = Path(settings.BASE_DIR).glob("*/contracts/*.json")
    found = {f"{path.parent.parent.name}.{path.stem}" for path in beside}
    return sorted((found | set(published())) - set(event_types))


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
