"""The event map: publishers, events, consumers and fields, from contracts and registry."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus import registry
from eventbus.publishing import contracts
from eventbus.publishing.compatibility import Schema

PATH = "docs/event-map.md"
HEAD = """# Event map

Written by `manage.py eventmap` from the locked contracts and the consumers; the tests keep it
current. An arrow into an event comes from its publisher, an arrow out of it goes to a consumer.
"""


class Command(BaseCommand):
    help = f"Write {PATH}: each event with its publisher, consumers and fields."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="only fail if it is out of date")

    def handle(self, *args: Any, **options: Any) -> None:
        path, page = Path(settings.BASE_DIR, PATH), render()
        if options["check"]:
            if not path.exists() or path.read_text() != page:
                raise CommandError(f"{PATH} is out of date. Run manage.py eventmap.")
            return
        path.parent.mkdir(exist_ok=True)
        path.write_text(page)
        self.stdout.write(f"Wrote {PATH}.")


def render() -> str:
    """Return the page as Markdown."""
    published = dict(sorted(contracts.published().items()))
    lines = [HEAD, "```mermaid", "flowchart LR", *_arrows(published), "```", ""]
    lines += ["| event | meaning | publisher | consumers | fields |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(name, published[name]) for name in published), ""])


def _arrows(published: dict[str, Any]) -> Iterator[str]:
    for name in published:
        context, _, event = name.partition(".")
        yield f'    {context} --> {name}(["{event}"])'
        for listener in sorted({consumer.context for consumer in registry.consumers_of(name)}):
            yield f"    {name} --> {listener}"


def _row(name: str, contract: Schema) -> str:
    consumers = sorted(f"`{consumer.name}`" for consumer in registry.consumers_of(name))
    fields = ", ".join(
        f"`{field}` {_type(schema)}" + ("" if field in contract.get("required", ()) else " (later)")
        for field, schema in contract["properties"].items()
    )
    meaning = " ".join(contract.get("description", "").split()).replace("|", "\\|")
    context = name.partition(".")[0]
    return f"| `{name}` | {meaning} | {context} | {', '.join(consumers) or '—'} | {fields} |"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"[{_type(schema.get('items', {}))}]"
    return str(schema.get("format") or schema.get("type") or "anything")
