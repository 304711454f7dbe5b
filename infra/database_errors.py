"""Whether an error of the database is about the server, or about our statement.

PostgreSQL's codes (SQLSTATE, appendix A of its manual) tell them apart; an error without a code
was raised by the driver, which had no answer.
"""

from django.db import Error, InterfaceError, InternalError, OperationalError

# Connection exceptions, insufficient resources, shutdown or restart; a standby is read-only.
_SERVER = ("08", "53", "57P", "25006")


def is_unreachable(error: BaseException) -> bool:
    """Return whether the database did not answer, or refuses writes: it may later."""
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    code = sqlstate(error)
    return code.startswith(_SERVER) if code else not isinstance(error, InternalError)


def sqlstate(error: Error) -> str:
    """Return PostgreSQL's code of an error, or an empty string."""
    return getattr(error.__cause__, "sqlstate", None) or ""
