"""A transaction of ours is repeated after a deadlock, or the reason why not stands here."""

import ast
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib import admin

from infra.admin import ReadOnlyMixin, RepeatingAdmin

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = [*settings.CONTEXTS, "config", "edge", "eventbus", "examples", "infra"]

REASONS = {
    "accounts/services/users.py register": "a savepoint: only its conflict is of interest",
    "analytics/services.py record_reservations": "a part of a delivery, which is repeated",
    "analytics/services.py record_sales": "a part of a delivery, which is repeated",
    "edge/idempotency/views.py _execute_or_replay": "a part of what dispatch repeats",
    "edge/idempotency/views.py _respond": "a savepoint of the same",
    "eventbus/consuming/survival.py atomic": "its users repeat it with all that they read",
    "eventbus/operations/audit_log.py once": "a part of what step repeats",
    "eventbus/testing/subscribing.py listening": "tests meet no conflict",
    "infra/partitions.py short_locks": "a block whose waits for locks end soon; users try again",
    "infra/snapshot.py snapshot": "a block, and one that only reads",
    "infra/transactions.py once": "a part of what atomic repeats",
}
# Pages of libraries that write by services, or not at all.
OTHER_PAGES = {"Config": "each setting is a transaction of its own, which is repeated"}


def plain_transactions(source: str) -> Iterator[str]:
    """Yield the functions in which Django's `transaction.atomic` is used."""

    def walk(node: ast.AST, function: str) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if (
            isinstance(node, ast.Attribute)
            and node.attr == "atomic"
            and isinstance(node.value, ast.Name)
            and node.value.id == "transaction"
        ):
            yield function
        if isinstance(node, ast.ImportFrom) and node.module == "django.db.transaction":
            yield f"{function}, imported"
        for child in ast.iter_child_nodes(node):
            yield from walk(child, function)

    yield from walk(ast.parse(source), "module")


def test_each_transaction_is_repeated_or_has_a_reason() -> None:
    found = {
        f"{file.relative_to(REPOSITORY)} {function}"
        for folder in FOLDERS
        for file in (REPOSITORY / folder).rglob("*.py")
        if "migrations" not in file.parts
        for function in plain_transactions(file.read_text())
    }
    assert found == set(REASONS)


def test_a_plain_transaction_is_found() -> None:
    decorated = "@transaction.atomic(savepoint=False)\ndef sell(): ..."
    block = "class A:\n  def sell(self):\n    with a, transaction.atomic(): ..."
    imported = "from django.db.transaction import atomic"
    found = [list(plain_transactions(text)) for text in (decorated, block, imported)]
    assert found == [["sell"], ["sell"], ["module, imported"]]


def test_each_page_with_a_form_repeats_its_transaction() -> None:
    pages = {
        model.__name__
        for model, page in admin.site._registry.items()
        if not isinstance(page, ReadOnlyMixin | RepeatingAdmin)
    }
    assert pages == set(OTHER_PAGES)
