"""Imports only go down; rooms have no doors between them, and only the furniture of a room."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from importlinter import cli

PYPROJECT = settings.BASE_DIR / "pyproject.toml"


def _contracts() -> list[dict[str, Any]]:
    linter = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]
    return [dict(contract) for contract in linter["contracts"]]


def test_imports_keep_to_the_floors(capsys: pytest.CaptureFixture[str]) -> None:
    broken = cli.lint_imports(config_filename=str(PYPROJECT), no_cache=True)
    assert not broken, capsys.readouterr().out


@pytest.mark.parametrize("room", settings.ROOMS)
def test_no_room_escapes_the_floors(room: str) -> None:
    floors, attic, legs, furniture, _ = _contracts()
    assert room in floors["layers"][2].split(" | ")
    assert room in attic["forbidden_modules"]
    assert room in legs["source_modules"]
    assert room in furniture["containers"]


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("utils.py", "", "utils"),
        ("models.py", "from parlour import services", "parlour.models -> parlour.services"),
        ("queries.py", "from parlour import services", "parlour.queries -> parlour.services"),
    ],
)
def test_a_room_with_other_furniture_is_refused(
    file: str,
    source: str,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # given
    room = tmp_path / "parlour"
    room.mkdir()
    for name in ("__init__.py", "services.py"):
        (room / name).touch()
    (room / file).write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    # when
    broken = cli.lint_imports(config_filename=_law_for("parlour", tmp_path), no_cache=True)

    # then
    assert broken
    assert complaint in capsys.readouterr().out


def _law_for(room: str, folder: Path) -> str:
    """Write the furniture contract for another room, and return the file."""
    furniture = _contracts()[3] | {"containers": [room]}
    lines = [f"{key} = {json.dumps(value)}" for key, value in furniture.items()]
    law = folder / "law.toml"
    head = f'[tool.importlinter]\nroot_package = "{room}"\n[[tool.importlinter.contracts]]\n'
    law.write_text(head + "\n".join(lines))
    return str(law)
