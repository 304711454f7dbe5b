"""Writes a context from the contracts of the events that it subscribes to: `startcontext`."""

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import models
from django.template import Context, Engine

Schema = dict[str, Any]
LINE_LENGTH = 100
TEMPLATES = Path(__file__).parent / "context"


@dataclass(frozen=True)
class Kind:
    """A JSON type (or its format) in Python, in a table, and in a test."""

    python: str
    column: str
    sample: str


KINDS = {
    "uuid": Kind("UUID", "UUIDField()", 'UUID("01890000-0000-7000-8000-000000000001")'),
    "decimal": Kind("Decimal", "DecimalField(max_digits=20, decimal_places=4)", 'Decimal("20.00")'),
    "date-time": Kind(
        "dt.datetime", "DateTimeField()", "dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)"
    ),
    "date": Kind("dt.date", "DateField()", "dt.date(2026, 1, 2)"),
    "string": Kind("str", "TextField()", '"text"'),
    "integer": Kind("int", "BigIntegerField()", "2"),
    "number": Kind("float", "FloatField()", "2.5"),
    "boolean": Kind("bool", "BooleanField()", "True"),
}
JSON = "JSONField(encoder=DjangoJSONEncoder)"
ANYTHING = Kind("Any", JSON, "{}")


@dataclass(frozen=True)
class Field:
    """A field of an event: as a parameter, as a column, and as a value in a test."""

    name: str
    python: str
    model: str
    sample: str
    stored: str
    default: str = ""

    @property
    def column(self) -> str:
        """The name of the column; Django's models have some names themselves."""
        return (
            f"{self.name}_value"
            if self.name in {"id", "objects", *dir(models.Model)}
            else self.name
        )

    @property
    def migrated(self) -> str:
        """The column as a migration writes it."""
        return self.model.replace("=DjangoJSON", "=django.core.serializers.json.DjangoJSON")


@dataclass(frozen=True)
class Part:
    """A class for an object inside an event."""

    name: str
    event: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Subscription:
    """An event that the new context subscribes to, and the names that follow from it."""

    name: str
    meaning: str
    fields: tuple[Field, ...]

    @property
    def event(self) -> str:
        """`OrderPaid` of `orders.OrderPaid`."""
        return self.name.partition(".")[2]

    @property
    def verb(self) -> str:
        """The name of the consumer and of its service."""
        return "record_" + re.sub(r"(?<!^)(?=[A-Z])", "_", self.event).lower()

    @property
    def model(self) -> str:
        """The name of the model."""
        return f"{self.event}Record"

    @property
    def key(self) -> str:
        """The lock key: the first UUID field, else the first text field, else none."""
        ids = [field.name for field in self.fields if field.python == "UUID" and not field.default]
        texts = [field.name for field in self.fields if field.python == "str" and not field.default]
        return next(iter(ids + texts), "")

    @property
    def required(self) -> list[Field]:
        """The fields that every such event has."""
        return [field for field in self.fields if not field.default]

    @property
    def listed(self) -> list[Field]:
        """The columns that a list shows."""
        return [field for field in self.fields if not field.model.startswith("JSONField")][:6]

    @property
    def checked(self) -> Field:
        """The field whose value the test compares."""
        return (self.listed or list(self.fields))[0]


def read(
    names: Iterable[str], contracts: Mapping[str, Schema]
) -> tuple[list[Subscription], list[Part]]:
    """Return the subscriptions, and the classes of the objects inside of their events."""
    subscriptions, parts = [], dict[str, Part]()
    for name in names:
        contract = contracts[name]
        reader = _Reader(name, contract.get("$defs", {}), parts)
        meaning = " ".join(contract.get("description", "").split()).replace("|", "\\|")
        subscriptions.append(Subscription(name, meaning, reader.fields(contract)))
    return subscriptions, list(parts.values())


def files(name: str, subscriptions: list[Subscription], parts: list[Part]) -> dict[str, str]:
    """Return the files of the new context by their paths."""
    context = Context(
        {
            "name": name,
            "camel": name.title().replace("_", ""),
            "names": subscriptions[0].name if len(subscriptions) == 1 else "event that it reads",
            "events": subscriptions,
            "parts": parts,
        },
        autoescape=False,
    )
    engine = Engine(dirs=[str(TEMPLATES)])
    written = {}
    for template, path in _PATHS.items():
        context["imports"] = {}
        body = engine.get_template(f"{template}-tpl").render(context)
        context["imports"] = {template.partition(".")[0]: _imports(name, template, body)}
        text = engine.get_template(f"{template}-tpl").render(context)
        written[path.format(name=name)] = text.strip() + "\n"
    return written


_PATHS = {
    "__init__.py": "{name}/__init__.py",
    "apps.py": "{name}/apps.py",
    "models.py": "{name}/models.py",
    "services.py": "{name}/services.py",
    "consumers.py": "{name}/consumers.py",
    "admin.py": "{name}/admin.py",
    "migration.py": "{name}/migrations/0001_initial.py",
    "README.md": "{name}/README.md",
    "test.py": "tests/{name}/test_{name}.py",
}


class _Reader:
    def __init__(self, event: str, definitions: Schema, parts: dict[str, Part]) -> None:
        self._event, self._definitions, self._parts = event, definitions, parts

    def fields(self, schema: Schema) -> tuple[Field, ...]:
        """Return the fields of an object, the required ones first."""
        required = schema.get("required", ())
        found = [
            self._field(name, one, "" if name in required else repr(one.get("default")))
            for name, one in schema["properties"].items()
            if not keyword.iskeyword(name)
        ]
        return tuple(sorted(found, key=lambda field: bool(field.default)))

    def _field(self, name: str, schema: Schema, default: str) -> Field:
        kind = self._kind(schema)
        stored = name
        if kind.column == JSON and (part := re.search(r"list\[(\w+)\]|^(\w+)", kind.python)):
            if part[1] in self._parts:
                stored = f"[asdict(one) for one in {name}]"
            elif part[2] in self._parts:
                stored = f"asdict({name})"
        return Field(name, kind.python, kind.column, kind.sample, stored, default)

    def _kind(self, schema: Schema) -> Kind:
        if "$ref" in schema:
            return self._reference(schema["$ref"].rpartition("/")[2])
        if "anyOf" in schema:
            return self._union(schema["anyOf"])
        if schema.get("type") == "array":
            item = self._kind(schema.get("items", {}))
            return Kind(f"list[{item.python}]", JSON, "[]")
        if "enum" in schema:
            sample = schema["enum"][0]
            kind = KINDS["integer" if isinstance(sample, int) else "string"]
            return Kind(kind.python, kind.column, repr(sample).replace("'", '"'))
        return KINDS.get(schema.get("format") or schema.get("type", ""), ANYTHING)

    def _union(self, alternatives: list[Schema]) -> Kind:
        kinds = [self._kind(one) for one in alternatives if one.get("type") != "null"]
        optional = len(kinds) < len(alternatives)
        python = " | ".join(kind.python for kind in kinds) + (" | None" if optional else "")
        if len(kinds) > 1:
            return Kind(python, JSON, kinds[0].sample)
        column = re.sub(r"\((.*)\)", r"(\1, null=True)", kinds[0].column).replace("(, ", "(")
        return Kind(python, column if optional else kinds[0].column, kinds[0].sample)

    def _reference(self, name: str) -> Kind:
        definition = self._definitions[name]
        if "properties" not in definition:
            return self._kind(definition)
        part = Part(name, self._event, self.fields(definition))
        if self._parts.setdefault(name, part).fields != part.fields:
            part = Part(f"{self._event.partition('.')[2]}{name}", self._event, part.fields)
            self._parts[part.name] = part
        values = ", ".join(f'"{field.name}": {field.sample}' for field in part.fields)
        return Kind(part.name, JSON, f"{{{values}}}")


def _imports(name: str, template: str, body: str) -> str:
    """Return the imports that a text needs, in the order that the linter wants."""
    groups = [sorted(line for line in group if line) for group in _wanted(name, template, body)]
    for group in groups:
        group.sort(key=lambda line: (line.startswith("from"), line.split()[1]))
    return "\n\n".join("\n".join(group) for group in groups if group)


def _wanted(name: str, template: str, body: str) -> Iterator[list[str]]:
    def uses(word: str) -> bool:
        return re.search(rf"(?<![\w.]){word}\b", body) is not None

    typing = [word for word in ("asdict", "dataclass") if uses(word)]
    yield [
        "import datetime as dt" if uses("dt") else "",
        f"from dataclasses import {', '.join(typing)}" if typing else "",
        "from decimal import Decimal" if uses("Decimal") else "",
        "from typing import Any" if uses("Any") else "",
        "from uuid import UUID" if uses("UUID") else "",
    ]
    json = "from django.core.serializers.json import DjangoJSONEncoder"
    records = sorted(set(re.findall(r"\b[A-Z]\w*Record\b(?=\.objects|\))", body)))
    rows = _from(f"{name}.models", records)
    yield {
        "models.py": [json if uses("DjangoJSONEncoder") else "", "from django.db import models"],
        "admin.py": ["from django.contrib import admin"],
        "migration.py": [
            "import django.core.serializers.json" if "JSONField" in body else "",
            "from django.db import migrations, models",
        ],
        "test.py": ["import pytest"],
    }.get(template, [])
    parts = sorted(set(re.findall(r"(?:list\[|: )([A-Z]\w+)\b", body)) - _NO_PARTS)
    yield {
        "services.py": [rows],
        "consumers.py": [
            "from eventbus import consumer",
            f"from {name} import services",
            _from(f"{name}.services", parts),
        ],
        "admin.py": ["from infra.admin import ReadOnlyAdmin", rows],
        "test.py": ["from eventbus.testing import alone, hear", rows],
    }.get(template, [])


def _from(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) > LINE_LENGTH:
        line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
    return line if names else ""


_NO_PARTS = {"UUID", "Decimal", "Any", "None"}
