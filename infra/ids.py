"""Ids that sort by time: UUIDv7 (RFC 9562), so that new rows go to the end of an index."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a UUIDv7, greater than all before it in this process."""
    return uuid7()
