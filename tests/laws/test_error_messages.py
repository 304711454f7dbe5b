"""Code compares codes and types of errors, never their messages: a server has its own language."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = [*settings.CONTEXTS, "config", "edge", "eventbus", "infra", "tools", "examples"]
DIAGNOSES = {"message_primary", "message_detail", "message_hint", "pgerror"}


def messages_read(source: str) -> Iterator[str]:
    """Yield each comparison with, search in, or diagnosis of an error's message."""
    tree = ast.parse(source)
    caught = {n.name for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler) and n.name}
    caught |= {"error", "exc", "exception"}  # as parameters

    def is_message(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return node.func.id in ("str", "repr") and any(is_error(a) for a in node.args)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return is_message(node.func.value)  # as in str(error).lower()
        if isinstance(node, ast.Subscript):
            return is_message(node.value)
        return isinstance(node, ast.Attribute) and node.attr == "args" and is_error(node.value)

    def is_error(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id in caught

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            found = any(is_message(part) for part in (node.left, *node.comparators))
        elif isinstance(node, ast.Call):
            searched = isinstance(node.func, ast.Attribute) and (
                (
                    node.func.attr in ("search", "match", "fullmatch", "findall")
                    and any(is_message(argument) for argument in node.args)
                )
                or (
                    node.func.attr in ("startswith", "endswith", "find", "index", "count")
                    and is_message(node.func.value)
                )
            )
            found = bool(searched)
        else:
            found = isinstance(node, ast.Attribute) and node.attr in DIAGNOSES
        if found:
            yield ast.unparse(node)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_code_reads_the_message_of_an_error(folder: str) -> None:
    for file in (REPOSITORY / folder).rglob("*.py"):
        assert list(messages_read(file.read_text())) == [], file


@pytest.mark.parametrize(
    "source",
    [
        'if "database is locked" in str(error): pass',
        "try: pass\nexcept OSError as e:\n    found = e.args[0] == 'gone'",
        "re.search('deadlock', str(error).lower())",
        "str(exc).startswith('FATAL')",
        "error.__cause__.diag.message_primary",
    ],
)
def test_a_message_that_is_read_is_found(source: str) -> None:
    assert len(list(messages_read(source))) == 1
