"""Writes the contract of the REST API."""

from pathlib import Path
from typing import Any

import yaml
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from tools.ops.rest_contract import breakages

PLACE = "docs/openapi.yaml"


class Command(BaseCommand):
    help = f"Write {PLACE}, which may only grow: a breaking change needs a new version (/v2)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="only compare; fail if out of date"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(settings.BASE_DIR, PLACE)
        locked, document = path.read_text() if path.exists() else "", described()
        if locked:
            _refuse_breaks(yaml.safe_load(locked), yaml.safe_load(document))
        if options["check"]:
            if locked != document:
                raise CommandError(f"{PLACE} is out of date. Run manage.py makeopenapi.")
            return
        path.parent.mkdir(exist_ok=True)
        path.write_text(document)
        self.stdout.write(f"wrote {PLACE}")


def described() -> str:
    """Return the API's description as YAML. Raises CommandError where it is incomplete."""
    GENERATOR_STATS.reset()
    document = SchemaGenerator().get_schema(request=None, public=True)
    if GENERATOR_STATS:
        raise CommandError("The description of the API is incomplete: fix the warnings above.")
    validate_schema(document)
    return str(OpenApiYamlRenderer().render(document, renderer_context={}).decode())


def _refuse_breaks(old: dict[str, Any], new: dict[str, Any]) -> None:
    broken = breakages(old, new)
    if broken:
        changes = "\n".join(f"  {problem}" for problem in broken)
        raise CommandError(f"Breaking changes need a new version (/v2):\n{changes}")
