"""Limits of a JSON Schema: may a value within those of a contract exceed those of a reader?

The keywords are those of JSON Schema 2020-12 (validation vocabulary) that msgspec writes.
"""

import re
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

Schema = dict[str, Any]

_SIZES = {
    **dict.fromkeys(("minLength", "minItems", "minProperties"), 0.0),
    **dict.fromkeys(("maxLength", "maxItems", "maxProperties"), inf),
}
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


def exceeded(wanted: Schema, offered: Schema, path: str) -> Iterator[str]:
    """Yield a sentence for each limit of the reader that an offered value may exceed."""
    for name in (*_BOUNDS, *_SIZES, "pattern", "multipleOf"):
        if name in wanted and not _keeps(name, wanted, offered):
            given = offered.get(name, "none") if "enum" not in offered else offered["enum"]
            yield f"'{path}' has {name} {given}, its reader {wanted[name]}"


def _keeps(name: str, wanted: Schema, offered: Schema) -> bool:
    """Return whether all offered values keep one limit of the reader."""
    if "enum" in offered:
        return all(_CHECKS[name](value, wanted[name]) for value in offered["enum"])
    if name == "pattern":
        return bool(offered.get(name) == wanted[name])
    if name == "multipleOf":
        return name in offered and offered[name] % wanted[name] == 0
    if name in _SIZES:
        size = offered.get(name, _SIZES[name])
        return bool(size >= wanted[name] if name.startswith("min") else size <= wanted[name])
    if "inimum" in name:
        return _lowest(offered) >= _lowest({name: wanted[name], "type": offered.get("type")})
    return _highest(offered) <= _highest({name: wanted[name], "type": offered.get("type")})


def _lowest(schema: Schema) -> tuple[float, bool]:
    """Return the lower bound, and whether it is excluded; of integers the lowest included one."""
    exclusive = schema.get("exclusiveMinimum", -inf)
    if schema.get("type") == "integer" and exclusive > -inf:
        return max((schema.get("minimum", -inf), False), (exclusive + 1, False))
    return max((schema.get("minimum", -inf), False), (exclusive, exclusive > -inf))


def _highest(schema: Schema) -> tuple[float, bool]:
    """Return the upper bound, and whether it is included; of integers the highest included one."""
    exclusive = schema.get("exclusiveMaximum", inf)
    if schema.get("type") == "integer" and exclusive < inf:
        return min((schema.get("maximum", inf), True), (exclusive - 1, True))
    return min((schema.get("maximum", inf), True), (exclusive, exclusive == inf))


_CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda value, limit: value >= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
    "minLength": lambda value, limit: len(value) >= limit,
    "maxLength": lambda value, limit: len(value) <= limit,
    "pattern": lambda value, limit: bool(re.search(limit, value)),
    "multipleOf": lambda value, limit: value % limit == 0,
}
