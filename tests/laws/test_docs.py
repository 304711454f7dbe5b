"""Docs are true: commands, targets, options, files, links and tests that they name exist."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.core.management import call_command, get_commands, load_command_class

from eventbus import checks, registry

ROOT = Path(settings.BASE_DIR)
IGNORED = {".venv", "var", "node_modules", ".git", ".pytest_cache"}
DOCS = sorted(
    path for path in ROOT.rglob("*.md") if not IGNORED & set(path.relative_to(ROOT).parts)
)
# The README of a context of one's own is held to what it names, but needs no link to it.
SHOWN = [
    doc
    for doc in DOCS
    if doc.parent == ROOT
    or (
        doc.relative_to(ROOT).parts[0] in {"docs", "examples", *settings.CONTEXTS}
        and doc.parent.name not in os.environ.get("EXTRA_CONTEXTS", "").split(",")
    )
]
README = ROOT / "README.md"
GUARANTEES = ROOT / "docs" / "guarantees.md"
every_doc = pytest.mark.parametrize("doc", DOCS, ids=lambda path: str(path.relative_to(ROOT)))


def code_in(text: str) -> Iterator[str]:
    """Return what a Markdown text shows as code: blocks line by line, and spans."""
    fence = re.compile(r"^[ \t]*```.*?^[ \t]*```", re.S | re.M)
    for block in fence.findall(text):
        yield from block.splitlines()[1:-1]
    yield from re.findall(r"`([^`\n]+)`", fence.sub("", text))


def test_there_are_docs() -> None:
    assert ROOT / "README.md" in DOCS


@every_doc
def test_the_commands_it_names_exist(doc: Path) -> None:
    for line in code_in(doc.read_text()):
        for name, options in re.findall(r"manage\.py (\w+)((?:\s+[^|;&#]+)?)", line):
            assert name in get_commands(), f"{doc.name}: no command {name} in `{line}`"
            for option in re.findall(r"(?<!\S)(--[a-z][\w-]*)", options):
                assert option in _options(name), f"{doc.name}: {name} takes no {option}"


@every_doc
def test_the_make_targets_it_names_exist(doc: Path) -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    for line in code_in(doc.read_text()):
        for name in re.findall(r"(?:^|[\s&;$])make ([a-z][\w-]*)\b(?!=)", line):
            assert name in targets, f"{doc.name}: no target {name} in `{line}`"


@every_doc
def test_the_files_it_names_exist(doc: Path) -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - IGNORED
    for line in code_in(doc.read_text()):
        for path in re.findall(
            r"(?<![\w./<-])((?:\w+/)+\w[\w.-]*\.(?:py|md|toml|json|yaml))", line
        ):
            if path.partition("/")[0] in folders:
                assert (ROOT / path).exists(), f"{doc.name}: no file {path}"


@every_doc
def test_its_links_and_their_anchors_exist(doc: Path) -> None:
    for target, anchor in _links(doc):
        assert target.exists(), f"{doc.name}: no file {target}"
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target), f"{doc.name}: {target.name} has no #{anchor}"


def test_every_doc_is_reached_by_links_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        doc = waiting.pop()
        if doc not in reached and doc.suffix == ".md":
            reached.add(doc)
            waiting += [target for target, _ in _links(doc)]
    assert set(SHOWN) - reached == set()


def test_every_doc_is_in_the_navigation_of_the_site() -> None:
    named = re.findall(r"^ +- [^:]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    docs = {str(doc.relative_to(ROOT)) for doc in SHOWN}
    decisions = {doc for doc in docs if re.match(r"docs/decisions/\d", doc)}
    assert set(named) == docs - decisions


def test_the_index_of_decisions_is_complete() -> None:
    index = ROOT / "docs" / "decisions" / "README.md"
    for page in sorted(index.parent.glob("[0-9]*.md")):
        title = page.read_text().splitlines()[0].partition(". ")[2]
        row = f"| {page.name[:4]} | [{title}]({page.name}) |"
        assert row in index.read_text().splitlines(), f"not in {index.name}: {row}"
    numbers = [page.name[:4] for page in index.parent.glob("[0-9]*.md")]
    assert len(numbers) == len(set(numbers)), "two decisions have one number"


def test_the_consumer_in_the_readme_is_the_one_of_the_example() -> None:
    consumers = (ROOT / "examples" / "loyalty" / "consumers.py").read_text()
    (shown,) = [block for block in _blocks(README, "python") if "@consumer" in block]
    assert consumers.endswith(shown)


def test_the_message_in_the_readme_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    def add_points(customer_id: UUID) -> None: ...

    monkeypatch.setattr(registry, "consumers", {})
    add_points.__module__ = "loyalty.consumers"
    registry.consumer("orders.OrderPayed", key="customer_id")(add_points)
    printed = "\n".join(str(error) for error in checks.check_contexts(None))
    (shown,) = [block for block in _blocks(README, "") if "eventbus.E001" in block]
    assert printed.removeprefix("?: ").split() == shown.split()


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 250


def test_the_changelog_begins_with_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    heads = re.findall(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heads[0] == ("Unreleased", "")
    assert heads[1][0] == version
    assert re.fullmatch(r" - \d{4}-\d\d-\d\d", heads[1][1])


def test_every_guarantee_names_its_test() -> None:
    """A row of a table is a promise; what is not promised stands there as a list."""
    rows = [line for line in GUARANTEES.read_text().splitlines() if line.startswith("|")]
    promises = [row for row in rows if not re.match(r"^\|[\s:|-]+\|$", row)]
    heads = [rows[at - 1] for at, row in enumerate(rows) if re.match(r"^\|[\s:|-]+\|$", row)]
    promises = [row for row in promises if row not in heads]
    assert promises
    for promise in promises:
        named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", promise)
        assert named, f"no test proves: {promise}"
        for file, test in named:
            assert test in _tests(ROOT / file), f"{file} has no {test}"


def test_every_risk_names_its_test() -> None:
    text = (ROOT / "docs" / "operate" / "security.md").read_text()
    risks = re.findall(r"^\| API\d+ .*", text, re.M)
    assert len(risks) == 10
    for risk in risks:
        named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", risk)
        assert named, f"no test proves: {risk}"
        for file, test in named:
            assert test in _tests(ROOT / file), f"{file} has no {test}"


@pytest.mark.skipif("EXTRA_CONTEXTS" in os.environ, reason="the map is of the shop's contexts")
def test_the_event_map_is_current() -> None:
    call_command("eventmap", check=True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("run `make run` now", ["make run"]),
        ("```sh\nmake test\nmake check\n```", ["make test", "make check"]),
        ("make sure that it stands", []),
    ],
)
def test_code_is_told_from_prose(text: str, shown: list[str]) -> None:
    assert list(code_in(text)) == shown


@cache
def _options(command: str) -> set[str]:
    app: Any = get_commands()[command]
    found = load_command_class(app, command) if isinstance(app, str) else app
    return set(found.create_parser("manage.py", command)._option_string_actions)


def _blocks(doc: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language as they stand."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", doc.read_text(), re.S | re.M)
    return [block for word, block in fences if word == language]


def _links(doc: Path) -> list[tuple[Path, str]]:
    """Return the files and anchors that a document links to; not the addresses elsewhere."""
    prose = re.sub(r"^[ \t]*```.*?^[ \t]*```", "", doc.read_text(), flags=re.S | re.M)
    links = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r"^\[[^\]]+\]:\s+(\S+)", prose, re.M)
    parts = [link.partition("#") for link in links if not re.match(r"[a-z]+:", link)]
    return [(Path(doc.parent, place).resolve() if place else doc, to) for place, _, to in parts]


@cache
def _anchors(doc: Path) -> set[str]:
    prose = re.sub(r"^[ \t]*```.*?^[ \t]*```", "", doc.read_text(), flags=re.S | re.M)
    headings = re.findall(r"^#+\s+(.+?)\s*$", prose, re.M)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in words}


@cache
def _tests(file: Path) -> set[str]:
    if not file.exists():
        return set()
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
