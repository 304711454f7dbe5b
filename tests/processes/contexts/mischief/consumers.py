"""A consumer for each kind of misbehaviour: it misbehaves at one event until it is cured."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.db import Error, connection, transaction

from eventbus import GiveUp, consumer, publish
from infra.errors import Refusal
from orders.events import ProductRetired

CURED = Path(os.environ["CURED_FILE"])
LONG = 4.5  # seconds: above the soft time limit of the deployment, below the hard one


def execute(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


def note(name: str, sku: str) -> None:
    execute("INSERT INTO witness VALUES (%s, %s)", name, sku)


def raise_error() -> None:
    raise ValueError("a mistake")


def give_up() -> None:
    raise GiveUp("there is no such shelf")


def raise_cancelled() -> None:
    raise asyncio.CancelledError


def exit_by_exception() -> None:
    sys.exit(3)


def exit_at_once() -> None:
    os._exit(3)


def abort() -> None:
    os.abort()


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def set_rollback() -> None:
    transaction.set_rollback(True)


def roll_back_by_hand() -> None:
    execute("ROLLBACK")


def commit_by_hand() -> None:
    execute("COMMIT")


def close_connection() -> None:
    connection.close()


def break_transaction() -> None:
    with contextlib.suppress(Error):
        execute("SELECT no_such_column")
    if connection.vendor == "sqlite":  # there an error leaves the transaction as it was
        raise_error()


class OutOfStock(Refusal):
    """There is none left."""


def catch_refusal() -> None:
    with contextlib.suppress(OutOfStock), transaction.atomic():
        note("catch_refusal", "undone")
        raise OutOfStock


def try_without_effect() -> None:
    with transaction.atomic():
        note("try_without_effect", "undone")
        transaction.set_rollback(True)


def use_savepoint() -> None:
    savepoint = transaction.savepoint()
    note("use_savepoint", "undone")
    transaction.savepoint_rollback(savepoint)


def raise_unstorable_text() -> None:
    raise ValueError("nul \0 and a lone surrogate \ud800")


def raise_huge_text() -> None:
    raise ValueError("x" * 10_000_000)


def raise_unprintable() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    raise Silent


def recurse() -> None:
    recurse()


def raise_memory_error() -> None:
    raise MemoryError


def publish_and_fail() -> None:
    publish(ProductRetired(sku="never published"))
    raise_error()


def sleep_long() -> None:
    time.sleep(LONG)


def sleep_through_the_soft_limit() -> None:
    for _ in range(2):
        with contextlib.suppress(Exception):
            time.sleep(LONG)


def change_session() -> None:
    if connection.vendor == "postgresql":
        execute("SET default_transaction_read_only TO on")
        execute("CREATE TEMP TABLE witness_of_one AS SELECT 1 AS one")
        execute("SELECT pg_advisory_lock(17)")


def fail_after_commit() -> None:
    transaction.on_commit(raise_error)


MISBEHAVIOURS: list[Callable[[], None]] = [
    raise_error,
    give_up,
    raise_cancelled,
    exit_by_exception,
    exit_at_once,
    abort,
    kill_itself,
    set_rollback,
    roll_back_by_hand,
    commit_by_hand,
    close_connection,
    break_transaction,
    catch_refusal,
    try_without_effect,
    use_savepoint,
    raise_unstorable_text,
    raise_huge_text,
    raise_unprintable,
    recurse,
    raise_memory_error,
    publish_and_fail,
    sleep_long,
    sleep_through_the_soft_limit,
    change_session,
    fail_after_commit,
]


def subscribe(misbehave: Callable[[], None]) -> None:
    def handle(sku: str) -> None:
        note(misbehave.__name__, sku)
        if sku == "bad" and not CURED.exists():
            misbehave()

    handle.__name__ = misbehave.__name__
    consumer("orders.ProductRetired")(handle)


for misbehaviour in MISBEHAVIOURS:
    subscribe(misbehaviour)
