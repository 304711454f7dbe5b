"""Types whose JSON Schema does not say all that msgspec requires of a value.

No contract can be compared with them, so a reader may not have them.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

KEYS = "has keys that are not text, which a contract does not state: read them as str"
ZONE = "is a time, and a contract does not state its zone: annotate it with msgspec.Meta(tz=True)"


def unstated(payload_type: type) -> list[str]:
    """Return sentences on the fields of a reader that no contract can be compared with."""
    return list(_problems(inspect.type_info(payload_type), "", set()))


def _problems(node: Any, path: str, seen: set[int]) -> Iterator[str]:
    node = node.type if isinstance(node, inspect.Metadata) else node
    if id(node) in seen:
        return
    if isinstance(node, inspect.DictType) and not _is_text(node.key_type):
        yield f"'{path}' {KEYS}"
    if isinstance(node, inspect.DateTimeType) and not node.tz:
        yield f"'{path}' {ZONE}"
    if isinstance(node, inspect.TimeType) and node.tz is None:
        yield f"'{path}' {ZONE}"
    for label, part in _parts(node, path):
        yield from _problems(part, label, seen | {id(node)})


def _is_text(node: Any) -> bool:
    node = node.type if isinstance(node, inspect.Metadata) else node
    return isinstance(node, inspect.StrType | inspect.AnyType)


def _parts(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    for field in getattr(node, "fields", ()):
        yield f"{path}.{field.name}".lstrip("."), field.type
    for name in ("item_type", "value_type"):
        if hasattr(node, name):
            yield f"{path}[]", getattr(node, name)
    for name in ("item_types", "types"):
        for part in getattr(node, name, ()):
            yield path, part
