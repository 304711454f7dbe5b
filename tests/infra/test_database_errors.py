"""Errors of the database are recognized by their codes, in any language of the server."""

import sqlite3
from pathlib import Path

import psycopg
import pytest
from django.db import DatabaseError, InternalError, OperationalError, connection
from psycopg import errors

from infra.database_errors import is_conflict, is_disk_full, is_unreachable

FRENCH = "le message du serveur"


def wrapped(cause: Exception, kind: type[DatabaseError] = OperationalError) -> DatabaseError:
    error = kind(FRENCH)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "unreachable", "conflict", "full"),
    [
        (psycopg.OperationalError(FRENCH), True, False, False),  # no connection, no code
        (errors.AdminShutdown(FRENCH), True, False, False),
        (errors.TooManyConnections(FRENCH), True, False, False),
        (errors.DiskFull(FRENCH), True, False, True),
        (errors.ReadOnlySqlTransaction(FRENCH), True, False, False),
        (errors.DeadlockDetected(FRENCH), False, True, False),
        (errors.SerializationFailure(FRENCH), False, True, False),
        (errors.QueryCanceled(FRENCH), False, False, False),
        (errors.LockNotAvailable(FRENCH), False, False, False),
    ],
)
def test_errors_of_postgresql(cause, unreachable, conflict, full):
    kind = InternalError if isinstance(cause, errors.ReadOnlySqlTransaction) else OperationalError
    error = wrapped(cause, kind)
    assert (is_unreachable(error), is_conflict(error), is_disk_full(error)) == (
        unreachable,
        conflict,
        full,
    )


def test_a_locked_sqlite_is_a_conflict(tmp_path: Path):
    path = tmp_path / "locked.sqlite3"
    with sqlite3.connect(path) as first, sqlite3.connect(path, timeout=0) as second:
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as raised:
            second.execute("BEGIN IMMEDIATE")
    error = wrapped(raised.value)
    assert (is_conflict(error), is_disk_full(error)) == (True, False)


def test_an_error_that_cannot_be_printed_is_no_error_of_the_database():
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert not any(about(Silent()) for about in (is_unreachable, is_conflict, is_disk_full))


@pytest.mark.postgres
@pytest.mark.django_db
def test_an_error_raised_by_a_server_in_another_language():
    raised = f"DO $$ BEGIN RAISE EXCEPTION '{FRENCH}' USING ERRCODE = '40001'; END $$"
    with connection.cursor() as cursor, pytest.raises(OperationalError) as error:
        cursor.execute(raised)
    assert is_conflict(error.value)
