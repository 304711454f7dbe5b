"""Whether an error of the database is about the server, another transaction, or our statement.

Codes tell them apart: of PostgreSQL its SQLSTATE (appendix A of its manual), of SQLite the name of
its result code. Messages are never read, as a server may write them in any language. An error
without a code was raised by the driver, which had no answer.
"""

from django.db import DatabaseError, Error, InterfaceError, InternalError, OperationalError

from infra.errors import Explained

# Connection exceptions, insufficient resources, shutdown or restart; a standby is read-only.
_SERVER = ("08", "53", "57P", "25006")


def is_unreachable(error: BaseException) -> bool:
    """Return whether the database did not answer, or refuses writes: it may later."""
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    code = sqlstate(error)
    return code.startswith(_SERVER) if code else not isinstance(error, InternalError)


def is_conflict(error: BaseException | None) -> bool:
    """Return whether a deadlock or serialization failure has caused an error: try again at once."""
    # An Explained error is an answer already, such as the refusal that a service made of it.
    while error is not None and not isinstance(error, Explained):
        if isinstance(error, DatabaseError):
            return sqlstate(error) in ("40P01", "40001") or _sqlite_code(error, "SQLITE_BUSY")
        error = error.__cause__ or error.__context__
    return False


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error was caused by a database that has no space left for a write."""
    while error is not None:
        if isinstance(error, DatabaseError) and (
            sqlstate(error) == "53100" or _sqlite_code(error, "SQLITE_FULL")
        ):
            return True
        error = error.__cause__
    return False


def sqlstate(error: Error) -> str:
    """Return PostgreSQL's code of an error, or an empty string."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def _sqlite_code(error: Error, name: str) -> bool:
    """Return whether SQLite ended a statement with this result code, or an extended one of it."""
    return str(getattr(error.__cause__, "sqlite_errorname", "")).startswith(name)
