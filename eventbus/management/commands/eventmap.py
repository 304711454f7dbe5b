"""Draw who says what to whom, from the contracts and the registry."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from eventbus import registry
from eventbus.publishing import contracts

PLACE = "docs/event-map.md"
HEAD = """# Event map

Written by `manage.py eventmap` from the locked contracts and the consumers; the tests keep it
current. An arrow into an event: who says it. An arrow out of it: who hears it.
"""


class Command(BaseCommand):
    """See `help`."""

    help = f"Write {PLACE}: which context says what, who hears it, and what it promises."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --check."""
        parser.add_argument("--check", action="store_true", help="write nothing; fail where stale")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write, or only compare."""
        path, page = Path(settings.BASE_DIR, PLACE), drawn()
        if options["check"]:
            if not path.exists() or path.read_text() != page:
                raise CommandError(f"{PLACE} is not what the code says. Run manage.py eventmap.")
            return
        path.parent.mkdir(exist_ok=True)
        path.write_text(page)
        self.stdout.write(f"wrote {PLACE}")


def drawn() -> str:
    """Return the page; the same code gives the same page."""
    promised = dict(sorted(contracts.published().items()))
    lines = [HEAD, "```mermaid", "flowchart LR", *_arrows(promised), "```", ""]
    lines += ["| event | meaning | said by | heard by | fields |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(name, promised[name]) for name in promised), ""])


def _arrows(promised: dict[str, Any]) -> Iterator[str]:
    for name in promised:
        context, _, event = name.partition(".")
        yield f'    {context} --> {name}(["{event}"])'
        for listener in sorted({consumer.context for consumer in registry.listeners(name)}):
            yield f"    {name} --> {listener}"


def _row(name: str, contract: contracts.Schema) -> str:
    heard_by = sorted(f"`{consumer.name}`" for consumer in registry.listeners(name))
    fields = ", ".join(
        f"`{field}` {_word(schema)}" + ("" if field in contract.get("required", ()) else " (later)")
        for field, schema in contract["properties"].items()
    )
    meaning = " ".join(contract.get("description", "").split()).replace("|", "\\|")
    context = name.partition(".")[0]
    return f"| `{name}` | {meaning} | {context} | {', '.join(heard_by) or '—'} | {fields} |"


def _word(schema: contracts.Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_word(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"[{_word(schema.get('items', {}))}]"
    return str(schema.get("format") or schema.get("type") or "anything")
