"""Plain words: a first line names its subject, and a retired metaphor does not come back."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = [*PYPROJECT["tool"]["importlinter"]["root_packages"], "examples"]
FOLDERS = [*PACKAGES, "tests", "docs", "."]  # "." is the files beside the folders, as README.md
TEXTS = {".py", ".md", ".html", ".txt", ".js", ".css"}
every_package = pytest.mark.parametrize("package", PACKAGES)
every_folder = pytest.mark.parametrize("folder", FOLDERS)

# Pronouns that leave open which thing a line is about.
RIDDLES = re.compile(
    r"\b(who|whom|whoever|what|whatever|nobody|somebody|everybody|anybody)\b", re.I
)
# A docstring that says nothing: where the name says it all, none is needed.
PLACEHOLDER = re.compile(r"See (the|its|`?\w+`?) ?.*(docstring|port|help)`?\.|See `help`\.|\w+\.")
# Metaphors that had a field's term all along; CONTRIBUTING.md says how names are chosen.
RETIRED = re.compile(
    r"(?<![a-z])(cellars?|attics?|porch(es)?|larders?|furniture|desks?|postm[ae]n|forgers?|parcels?"
    r"|baskets?|kick(s|ed|er|ing)?|stumbl(es?|ed|ing)|smell(s|ed|y)?|flights?|tick(s|ed)?|legs?"
    r"|ears?|bells?|rooms?|houses?|floors?|woken|patience|troubles?|storms?|letters?)(?![a-z])",
    re.I,
)
# The same words where they are the field's own, or plain.
PLAIN = re.compile(
    r"in[\s_-]flight|single[\s_-]?flight|dead[\s_-]*letters?(?![a-z])"
    r"|lower-case letters|letter-spacing"  # of the alphabet, and of CSS
    r"|\"ticks\"|tick=",  # options of Chart.js and of time_machine
    re.I,
)
# Files, or lines of files, that may use such words.
EXCEPTIONS = {
    "CHANGELOG.md": r"^\|.*\|$",  # a table of the names that were, beside those that are
    "docs/assets/mermaid.js": r"(?s).*",  # written elsewhere
    "tests/laws/test_plain_words.py": r"(?s).*",  # the words themselves
}


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Return the docstrings of a module, each with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def texts_of(folder: str) -> Iterator[tuple[str, str]]:
    """Return the source, templates and docs under a folder, by their paths."""
    place = ROOT / folder
    for path in sorted(place.glob("*.*") if folder == "." else place.rglob("*.*")):
        if path.suffix in TEXTS and "migrations" not in path.parts and path.is_file():
            yield str(path.relative_to(ROOT)), path.read_text()


def riddles_in(source: str) -> list[str]:
    lines = ((line, text.splitlines()[0]) for line, text in docstrings(source))
    return [f"{line}: {first}" for line, first in lines if RIDDLES.search(first)]


def placeholders_in(source: str) -> list[str]:
    return [f"{line}: {t}" for line, t in docstrings(source) if PLACEHOLDER.fullmatch(t)]


def retired_in(text: str, path: str = "") -> list[str]:
    for pattern in (PLAIN, re.compile(EXCEPTIONS.get(path, r"(?!)"), re.M)):
        text = pattern.sub(lambda plain: "\n" * plain[0].count("\n"), text)
    found = RETIRED.finditer(text)
    return [f"{text.count(chr(10), 0, word.start()) + 1}: {word[0]}" for word in found]


@every_package
def test_a_first_line_names_its_subject(package: str) -> None:
    sources = [(path, text) for path, text in texts_of(package) if path.endswith(".py")]
    assert [f"{path}:{riddle}" for path, text in sources for riddle in riddles_in(text)] == []


@every_package
def test_no_docstring_is_a_placeholder(package: str) -> None:
    sources = [(path, text) for path, text in texts_of(package) if path.endswith(".py")]
    assert [f"{path}:{empty}" for path, text in sources for empty in placeholders_in(text)] == []


@every_folder
def test_no_retired_word_comes_back(folder: str) -> None:
    texts = texts_of(folder)
    assert [f"{path}:{word}" for path, text in texts for word in retired_in(text, path)] == []


@pytest.mark.parametrize(
    "source",
    [
        'def send():\n    """Say what is on its way to whom."""',
        '"""Whoever asks is answered."""',
        'class A:\n    """Nobody reads this."""',
    ],
)
def test_a_riddle_is_found(source: str) -> None:
    assert riddles_in(source)


def test_only_the_first_line_must_name_its_subject() -> None:
    assert riddles_in('"""Return the rows.\n\nWhat is older stays."""') == []


@pytest.mark.parametrize("text", ["Refuse.", "See the package's docstring.", "See `help`."])
def test_a_placeholder_is_found(text: str) -> None:
    assert placeholders_in(f'def f():\n    """{text}"""')


def test_a_docstring_that_says_something_is_no_placeholder() -> None:
    assert placeholders_in('def f():\n    """Return the rows; see RFC 9457."""') == []


@pytest.mark.parametrize("text", ["the relay stumbled", "def kick():", "LEGS = 2", "a dead kick"])
def test_a_retired_word_is_found(text: str) -> None:
    assert retired_in(text)


@pytest.mark.parametrize(
    "text", ["events in flight", "infra/caching/single_flight.py", "dead letters", "a warehouse"]
)
def test_a_word_of_the_field_is_not_retired(text: str) -> None:
    assert retired_in(text) == []
