"""Ids that sort by time: UUIDv7 (RFC 9562), so that an index grows at its end."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a UUIDv7, rising within a process."""
    return uuid7()
