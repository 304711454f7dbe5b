"""Imports only go down; contexts do not import each other and have only the agreed files."""

import json
import os
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


EXTRA = [name for name in os.environ.get("EXTRA_CONTEXTS", "").split(",") if name]
SHOP = [context for context in settings.CONTEXTS if context not in EXTRA]


def _linter() -> dict[str, Any]:
    linter: dict[str, Any] = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]
    return linter


def _contract(name: str) -> dict[str, Any]:
    """Return the contract of this name, wherever it is in the list."""
    (found,) = [dict(one) for one in _linter()["contracts"] if one["name"] == name]
    return found


def test_imports_keep_to_the_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Contexts of EXTRA_CONTEXTS are held to the same contracts, without an entry in pyproject."""
    contracts = [_with_extra(dict(one)) for one in _linter()["contracts"]]
    packages = [*_linter()["root_packages"], *EXTRA]
    law = _write(tmp_path, contracts, root_packages=packages, include_external_packages=True)
    broken = cli.lint_imports(config_filename=law, no_cache=True)
    assert not broken, capsys.readouterr().out


@pytest.mark.parametrize("context", SHOP)
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


def _with_extra(contract: dict[str, Any]) -> dict[str, Any]:
    """Name the contexts of EXTRA_CONTEXTS in a contract wherever it names those of the shop."""
    for key in ("forbidden_modules", "source_modules", "containers"):
        if SHOP[0] in contract.get(key, ()):
            contract[key] = [*contract[key], *EXTRA]
    if contract["name"] == DOWNWARD:
        contract["layers"] = [
            " | ".join([layer, *EXTRA]) if SHOP[0] in layer else layer
            for layer in contract["layers"]
        ]
    return contract


def _law_for(context: str, folder: Path) -> str:
    """Write the contract of files for another context, and return the file."""
    return _write(folder, [_contract(FILES) | {"containers": [context]}], root_package=context)


def _write(folder: Path, contracts: list[dict[str, Any]], **options: object) -> str:
    """Write contracts as a file of import-linter, and return its name."""
    lines = ["[tool.importlinter]", *_values(options)]
    for contract in contracts:
        lines += ["[[tool.importlinter.contracts]]", *_values(contract)]
    law = folder / "law.toml"
    law.write_text("\n".join(lines))
    return str(law)


def _values(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]
