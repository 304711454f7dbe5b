"""Changes of the REST contract that would break a client of the old one.

Requests of the old document must stay valid, and responses must keep its fields; paths, methods,
parameters and success statuses stay. A new enum value in a response breaks nothing: clients
ignore a status that they do not know.
"""

from collections.abc import Iterator
from typing import Any

from eventbus.publishing.compatibility import incompatibilities

Document = dict[str, Any]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def breakages(old: Document, new: Document) -> list[str]:
    """Return a sentence for each breaking change."""
    return list(dict.fromkeys(_paths(old, new)))  # one line for several media types


def _paths(old: Document, new: Document) -> Iterator[str]:
    for path, operations in old["paths"].items():
        for method in (m for m in METHODS if m in operations):
            now = new["paths"].get(path, {}).get(method)
            call = f"{method.upper()} {path}"
            if now is None:
                yield f"{call} is gone"
                continue
            for problem in _operation(_Call(old, operations[method]), _Call(new, now)):
                yield f"{call}: {problem}"


class _Call:
    """An operation, and the document of its references."""

    def __init__(self, document: Document, operation: Document) -> None:
        self.document, self.operation = document, operation

    def schema(self, holder: Document, *, answer: bool = False) -> Document:
        """Return a schema as JSON Schema, with the schemas it refers to."""
        named = self.document.get("components", {}).get("schemas", {})
        plain = {name: _plain(schema, answer) for name, schema in named.items()}
        return {**_plain(holder.get("schema", {}), answer), "$defs": plain}

    @property
    def parameters(self) -> dict[tuple[str, str], Document]:
        listed = self.operation.get("parameters", [])
        return {(parameter["in"], parameter["name"]): parameter for parameter in listed}

    @property
    def body(self) -> Document:
        return dict(self.operation.get("requestBody", {}))

    @property
    def successes(self) -> dict[str, Document]:
        answers = self.operation["responses"].items()
        return {status: answer for status, answer in answers if status.startswith("2")}

    @property
    def public(self) -> bool:
        security = self.operation.get("security", self.document.get("security", []))
        return not security or {} in security


def _operation(old: _Call, new: _Call) -> Iterator[str]:
    if old.public and not new.public:
        yield "it was open to all"
    yield from _parameters(old, new)
    yield from _requests(old, new)
    yield from _answers(old, new)


def _parameters(old: _Call, new: _Call) -> Iterator[str]:
    for key, parameter in old.parameters.items():
        if key not in new.parameters:
            yield f"no parameter '{key[1]}'"
            continue
        asked = new.schema(new.parameters[key])
        for problem in incompatibilities(asked, old.schema(parameter)):
            yield f"parameter '{key[1]}' {problem.removeprefix(repr('') + ' ')}"
    for (place, name), parameter in new.parameters.items():
        before = old.parameters.get((place, name), {})
        if parameter.get("required") and not before.get("required"):
            yield f"parameter '{name}' is newly required"


def _requests(old: _Call, new: _Call) -> Iterator[str]:
    if new.body.get("required") and not old.body.get("required"):
        yield "a body is newly required"
    for media, sent in old.body.get("content", {}).items():
        taken = new.body.get("content", {}).get(media)
        if taken is None:
            yield f"{media} is not taken any more"
            continue
        for problem in incompatibilities(new.schema(taken), old.schema(sent)):
            yield f"{problem} in what clients send"
        for problem in incompatibilities(
            old.schema(sent, answer=True), new.schema(taken, answer=True)
        ):
            if problem.startswith("no field"):
                yield f"{problem} any more in what it takes"


def _answers(old: _Call, new: _Call) -> Iterator[str]:
    for status, promised in old.successes.items():
        if status not in new.successes:
            yield f"no answer {status} any more"
            continue
        for media, read in promised.get("content", {}).items():
            given = new.successes[status].get("content", {}).get(media)
            if given is None:
                yield f"{status} has no {media} any more"
                continue
            wanted, offered = old.schema(read, answer=True), new.schema(given, answer=True)
            for problem in incompatibilities(wanted, offered):
                yield f"{problem} in the answer {status}"


def _plain(schema: Any, answer: bool) -> Any:
    """Convert an OpenAPI 3.0 schema to JSON Schema.

    In a response every field is required: Django REST framework omits none.
    """
    if isinstance(schema, list):
        return [_plain(item, answer) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value, answer) for key, value in schema.items()}
    if len(plain.get("allOf", ())) == 1:
        plain |= plain.pop("allOf")[0]
    if "oneOf" in plain:
        plain["anyOf"] = plain.pop("oneOf")
    if answer:
        plain.pop("enum", None)
        if isinstance(plain.get("properties"), dict):
            plain["required"] = list(plain["properties"])
    if plain.pop("nullable", False):
        plain = {"anyOf": [plain, {"type": "null"}]}
    return plain
