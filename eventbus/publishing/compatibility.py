"""Compatibility of two JSON Schemas: may a reader of the one read values of the other?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


def breaking_changes(old: Schema | None, new: Schema) -> list[str]:
    """Return the changes of a contract that would break a reader; a new contract has none."""
    if old is None:
        return []
    today = [f"{problem} for its readers of today" for problem in incompatibilities(old, new)]
    logged = [f"{problem} in events already published" for problem in incompatibilities(new, old)]
    return today + logged


def incompatibilities(wanted: Schema, offered: Schema) -> list[str]:
    """Return sentences on the fields where a reader and a contract disagree."""
    return list(_Comparison(wanted, offered).values(wanted, offered, ""))


def alternatives(schema: Schema, root: Schema) -> list[Schema]:
    """Return the schemas that a value may match, with references into the root resolved."""
    if "$ref" in schema:
        return alternatives(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return [found for one in schema["anyOf"] for found in alternatives(one, root)]
    return [schema]


@dataclass(frozen=True, slots=True)
class _Comparison:
    wanted_root: Schema
    offered_root: Schema

    def values(self, wanted: Schema, offered: Schema, path: str) -> Iterator[str]:
        accepted = alternatives(wanted, self.wanted_root)
        for possible in alternatives(offered, self.offered_root):
            match = next((one for one in accepted if _accepts(one, possible)), None)
            if match is None:
                names = " or ".join(map(_type_name, accepted))
                yield f"'{path}' may be {_type_name(possible)}, not {names}"
            elif possible.get("type") == "array" and "items" in match:
                yield from self.values(match["items"], possible.get("items", {}), f"{path}[]")
            elif possible.get("type") == "object":
                yield from self._fields(match, possible, path)

    def _fields(self, wanted: Schema, offered: Schema, path: str) -> Iterator[str]:
        properties = offered.get("properties", {})
        for name, field in wanted.get("properties", {}).items():
            field_path = f"{path}.{name}" if path else name
            required = name in wanted.get("required", ())
            if name in properties:
                if required and name not in offered.get("required", ()):
                    yield f"'{field_path}' may be absent"
                yield from self.values(field, properties[name], field_path)
            elif required:
                yield f"no field '{field_path}'"


def _accepts(wanted: Schema, offered: Schema) -> bool:
    if wanted.keys() <= {"description", "title", "default"}:
        return True
    if "enum" in wanted:
        return "enum" in offered and set(offered["enum"]) <= set(wanted["enum"])
    wanted_type, offered_type = _type_name(wanted), _type_name(offered)
    if "enum" in offered:
        return all(wanted_type == _TYPE_NAMES.get(type(value)) for value in offered["enum"])
    return wanted_type == offered_type or (wanted_type, offered_type) == ("number", "integer")


_TYPE_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _type_name(schema: Schema) -> str:
    return str(schema.get("format") or schema.get("type") or schema.get("enum") or "anything")
