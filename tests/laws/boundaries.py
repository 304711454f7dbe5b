"""What a context may not do in its own words: mention what belongs to another."""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

# Functions that find something by its name, and so are imports, joins or calls in disguise.
FINDERS = {
    "apps",
    "get_app_config",
    "get_model",
    "__import__",
    "import_module",
    "import_string",
    "redirect",
    "resolve_url",
    "reverse",
    "reverse_lazy",
    "swappable_dependency",
}


@dataclass(frozen=True)
class Others:
    """What belongs to everybody but one context."""

    contexts: Collection[str]
    events: Collection[str]
    tables: Collection[str]
    routes: Collection[str]  # `orders` of `/v1/orders/{id}`
    names: Collection[str]  # of urls


def trespasses(source: str, others: Others) -> list[str]:
    """Say what a piece of a context's code takes from other contexts, with its line."""
    tree = ast.parse(source)
    found = {*_in_calls(tree, others), *_in_strings(tree, others)}
    return [f"line {line}: {what}" for line, what in sorted(found)]


def _in_calls(tree: ast.AST, others: Others) -> Iterator[tuple[int, str]]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name not in FINDERS:
            continue
        words = [a.value for a in ast.walk(call) if isinstance(a, ast.Constant)]
        for word in (word for word in words if isinstance(word, str)):
            owner = re.split(r"[._]", word.removeprefix("admin:"))[0]
            if owner in others.contexts or word in others.names:
                yield call.lineno, f"{name}({word!r})"


def _in_strings(tree: ast.AST, others: Others) -> Iterator[tuple[int, str]]:
    tables = re.compile(rf"\b({'|'.join(map(re.escape, sorted(others.tables)))})\b")
    label = re.compile(rf"({'|'.join(map(re.escape, sorted(others.contexts)))})(\.\w+)+")
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        text = node.value
        for table in tables.findall(text):
            yield node.lineno, f"table {table}"
        if label.fullmatch(text) and text not in others.events:
            yield node.lineno, f"{text!r} is no event"
        for route in re.findall(r"/v\d+/([\w-]+)", text):
            if route in others.routes:
                yield node.lineno, f"path /v1/{route}"


def sources(folder: Path) -> dict[str, str]:
    """Return a context's Python files, migrations too."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*.py"))}
