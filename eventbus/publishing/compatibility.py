"""Compatibility of two JSON Schemas: may a reader of the one read values of the other?"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eventbus.publishing.limits import exceeded

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
    under_way: set[tuple[int, int]] = dataclasses.field(default_factory=set)

    def values(self, wanted: Schema, offered: Schema, path: str) -> Iterator[str]:
        pair = id(wanted), id(offered)
        if pair in self.under_way:
            return  # a type that contains itself: the outer comparison tells
        self.under_way.add(pair)
        yield from self._alternatives(wanted, offered, path)
        self.under_way.remove(pair)

    def _alternatives(self, wanted: Schema, offered: Schema, path: str) -> Iterator[str]:
        accepted = alternatives(wanted, self.wanted_root)
        found = alternatives(offered, self.offered_root)
        for possible in (part for one in found for part in _by_type(one)):
            matches = [one for one in accepted if _accepts(one, possible)]
            if matches:
                problems = [list(self._within(one, possible, path)) for one in matches]
                yield from min(problems, key=len)  # none, where one of them takes all
            else:
                names = " or ".join(map(_type_name, accepted))
                yield f"'{path}' may be {_type_name(possible)}, not {names}"

    def _within(self, wanted: Schema, offered: Schema, path: str) -> Iterator[str]:
        """Compare two schemas of the same type."""
        yield from exceeded(wanted, offered, path)
        if offered.get("type") == "array":
            yield from self._items(wanted, offered, path)
        elif offered.get("type") == "object":
            yield from exceeded(wanted.get("propertyNames", {}), _keys(offered), f"{path} (a key)")
            yield from self._fields(wanted, offered, path)

    def _items(self, wanted: Schema, offered: Schema, path: str) -> Iterator[str]:
        fixed = max(len(schema.get("prefixItems", ())) for schema in (wanted, offered))
        for position in range(fixed + 1):
            item, possible = _item(wanted, position), _item(offered, position)
            label = f"{path}[{position if position < fixed else ''}]"
            if item is not False and possible is not False:
                yield from self.values(item, possible, label)

    def _fields(self, wanted: Schema, offered: Schema, path: str) -> Iterator[str]:
        properties, others = offered.get("properties", {}), _others(offered)
        prefix = f"{path}." if path else ""
        for name, field in wanted.get("properties", {}).items():
            required = name in wanted.get("required", ())
            possible = properties.get(name, others)
            if possible is not None:
                if required and name not in offered.get("required", ()):
                    yield f"'{prefix}{name}' may be absent"
                yield from self.values(field, possible, f"{prefix}{name}")
            elif required:
                yield f"no field '{prefix}{name}'"
        yield from self._other_fields(wanted, offered, prefix)

    def _other_fields(self, wanted: Schema, offered: Schema, prefix: str) -> Iterator[str]:
        """Compare the fields that the reader does not name: a dict reads all, some readers none."""
        rest, named = wanted.get("additionalProperties", True), wanted.get("properties", {})
        possible = {n: f for n, f in offered.get("properties", {}).items() if n not in named}
        others = _others(offered)
        if others is not None:
            possible["*"] = others
        for name, field in possible.items():
            if rest is False:
                yield f"'{prefix}{name}' may be present, which its reader forbids"
            elif isinstance(rest, dict):
                yield from self.values(rest, field, f"{prefix}{name}")


def _item(schema: Schema, position: int) -> Any:
    """Return the schema of an array's item; False if there is none at that position."""
    fixed = schema.get("prefixItems", [])
    return fixed[position] if position < len(fixed) else schema.get("items", {})


def _others(schema: Schema) -> Schema | None:
    """Return the schema of an object's unnamed fields; None if it has only named ones."""
    anything: Schema = {}
    others = schema.get("additionalProperties", None if "properties" in schema else anything)
    return others if isinstance(others, dict) else None


def _keys(schema: Schema) -> Schema:
    """Return the schema of an object's keys."""
    if "properties" in schema:
        return {"enum": list(schema["properties"])}
    keys: Schema = schema.get("propertyNames", {})
    return keys


def _by_type(schema: Schema) -> list[Schema]:
    """Return an enumeration as one for each type of its values."""
    if "enum" not in schema:
        return [schema]
    types = dict.fromkeys(map(type, schema["enum"]))
    return [{**schema, "enum": [v for v in schema["enum"] if type(v) is t]} for t in types]


def _accepts(wanted: Schema, offered: Schema) -> bool:
    if wanted.keys() <= {"description", "title", "default"}:
        return True
    if "enum" in wanted:
        return "enum" in offered and set(offered["enum"]) <= set(wanted["enum"])
    one = offered.get("enum", [None])[0]
    given = _TYPE_NAMES[type(one)] if "enum" in offered else _type_name(offered)
    return (_type_name(wanted), given) in {(given, given), ("number", "integer")}


_TYPE_NAMES = {str: "string", int: "integer", type(None): "null"}


def _type_name(schema: Schema) -> str:
    names = (schema.get(key) for key in ("format", "contentEncoding", "type", "enum"))
    return str(next(filter(None, names), "anything"))
