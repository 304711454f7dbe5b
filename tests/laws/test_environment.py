"""`.env.example` lists every variable, and only those that something reads."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from infra.app_settings import declared_in
from infra.environment import Environment

ROOT = Path(settings.BASE_DIR)
EXAMPLE = (ROOT / ".env.example").read_text()
# Read by libraries and by tools on their own.
OTHERS = {"OTEL_EXPORTER_OTLP_ENDPOINT", "KABAR_STACK_DIR", "BANK_PORT"}


def _read_in(file: str) -> Iterator[str]:
    """Return the names in `env.str("NAME", …)` and its like."""
    for call in ast.walk(ast.parse((ROOT / file).read_text())):
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="env")),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def test_every_variable_is_listed_and_no_other() -> None:
    env = Environment()
    for conf in declared_in(["edge", *settings.CONTEXTS]):
        conf.read(env)
    files = [path.relative_to(ROOT) for path in (ROOT / "config").glob("*.py")]
    read = {name for file in files for name in _read_in(str(file))} | env.names
    listed = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", EXAMPLE, re.M))
    assert len(read) > 20
    assert read - listed == set()
    assert listed - read == OTHERS


def test_every_variable_is_explained() -> None:
    paragraphs = [
        p for p in re.split(r"\n\s*\n", EXAMPLE) if re.search(r"^#? ?[A-Z_0-9]+=", p, re.M)
    ]
    for paragraph in paragraphs:
        assert re.search(r"^# (?![A-Z0-9_]+=)", paragraph, re.M), f"says nothing: {paragraph}"
