"""No test module imports another: helpers live in conftest.py or in modules of their own."""

import ast
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.BASE_DIR)


def imported_test_modules(source: str) -> list[str]:
    """Return the test modules that a piece of source imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module or ''}.{alias.name}" for alias in node.names]
    return [name for name in names if any(part.startswith("test_") for part in name.split("."))]


def test_no_test_module_imports_another() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        imported = imported_test_modules(path.read_text())
        assert not imported, f"{path.relative_to(ROOT)} imports {imported}"


def test_an_imported_test_module_is_found() -> None:
    assert imported_test_modules("from tests.orders.test_api import order")
    assert imported_test_modules("from tests.orders import test_api")
    assert imported_test_modules("import tests.orders.test_api")
    assert not imported_test_modules("from tests.orders.conftest import order")
