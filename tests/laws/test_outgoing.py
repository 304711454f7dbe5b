"""Only a gateway speaks to the outside, and only to addresses that the settings name."""

import ast
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings

from tests import openapi
from tests.laws.boundaries import sources

SPEAKERS = {"httpx", "requests", "urllib.request", "http.client", "socket", "smtplib", "ftplib"}


def spoken_by(source: str) -> set[str]:
    """Return what a module imports to speak with."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in named if name in SPEAKERS or name.partition(".")[0] in SPEAKERS}


@pytest.mark.parametrize("context", settings.CONTEXTS)
def test_only_a_gateway_speaks_to_the_outside(context: str) -> None:
    for file, source in sources(Path(apps.get_app_config(context).path)).items():
        if not str(file).startswith(("gateway", "management")):
            assert not spoken_by(source), f"{context}/{file} imports {spoken_by(source)}"


@pytest.mark.parametrize(
    "source", ["import httpx", "from urllib.request import urlopen", "from urllib import request"]
)
def test_who_speaks_is_found(source: str) -> None:
    assert spoken_by(source)


def test_what_is_asked_outside_is_named_by_settings_alone() -> None:
    """No client sends an address that we might call."""
    for name, schema in openapi.document()["components"]["schemas"].items():
        if name not in ("Problem",):
            for field, kind in schema.get("properties", {}).items():
                assert not is_address(field, kind), f"{name}.{field} looks like an address to call"


def is_address(field: str, kind: dict[str, Any]) -> bool:
    pages = ("next", "previous")  # said by us
    words = ("url", "uri", "callback", "webhook", "host")
    return field not in pages and (
        kind.get("format") in ("uri", "hostname") or any(word in field for word in words)
    )
