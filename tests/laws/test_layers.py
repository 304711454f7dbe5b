"""Imports only go down; contexts do not import each other and have only the agreed files."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from importlinter import cli

PYPROJECT = settings.BASE_DIR / "pyproject.toml"
# The contracts that list contexts, by the names that they have in pyproject.toml.
DOWNWARD = "Imports only go down, and contexts do not import each other"
BY_STRING = "config and edge name contexts by string"
NO_TRANSPORT = "Contexts do not know what carries their events"
FILES = "A context has only the agreed files, and its imports point inward"


def _linter() -> dict[str, Any]:
    linter: dict[str, Any] = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]
    return linter


def _contract(name: str) -> dict[str, Any]:
    """Return the contract of this name, wherever it is in the list."""
    (found,) = [dict(one) for one in _linter()["contracts"] if one["name"] == name]
    return found


def test_imports_keep_to_the_layers(capsys: pytest.CaptureFixture[str]) -> None:
    broken = cli.lint_imports(config_filename=str(PYPROJECT), no_cache=True)
    assert not broken, capsys.readouterr().out


@pytest.mark.parametrize("context", settings.CONTEXTS)
def test_no_context_escapes_the_layers(context: str) -> None:
    layers = [layer.split(" | ") for layer in _contract(DOWNWARD)["layers"]]
    assert context in _linter()["root_packages"]
    assert [context in layer for layer in layers].count(True) == 1
    assert context in _contract(BY_STRING)["forbidden_modules"]
    assert context in _contract(NO_TRANSPORT)["source_modules"]
    assert context in _contract(FILES)["containers"]


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("utils.py", "", "utils"),
        ("models.py", "from parlour import services", "parlour.models -> parlour.services"),
        ("queries.py", "from parlour import services", "parlour.queries -> parlour.services"),
    ],
)
def test_a_context_with_other_files_is_refused(
    file: str,
    source: str,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # given
    context = tmp_path / "parlour"
    context.mkdir()
    for name in ("__init__.py", "services.py"):
        (context / name).touch()
    (context / file).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    # when
    broken = cli.lint_imports(config_filename=_law_for("parlour", tmp_path), no_cache=True)

    # then
    assert broken
    assert complaint in capsys.readouterr().out


def _law_for(context: str, folder: Path) -> str:
    """Write the contract of files for another context, and return the file."""
    files = _contract(FILES) | {"containers": [context]}
    lines = [f"{key} = {json.dumps(value)}" for key, value in files.items()]
    law = folder / "law.toml"
    head = f'[tool.importlinter]\nroot_package = "{context}"\n[[tool.importlinter.contracts]]\n'
    law.write_text(head + "\n".join(lines))
    return str(law)
