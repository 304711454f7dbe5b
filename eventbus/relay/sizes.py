"""Sizes: how many events go into a message, and how many into one claim.

A limit in bytes is reached by the event that exceeds it, so that an event of any size is sent.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Func, IntegerField

from eventbus.conf import conf
from eventbus.models import Dispatch, Event

Encoded = tuple[str, bytes]  # an event: its id, and its CloudEvents JSON


class _StoredSize(Func):
    function, output_field = "pg_column_size", IntegerField()  # without decompressing it

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Return the SQL for SQLite, where JSON is text."""
        return self.as_sql(compiler, connection, function="length", **context)


def stored(ids: Iterable[UUID | str]) -> dict[UUID, int]:
    """Return the sizes of payloads as they are stored, by event."""
    events = Event.objects.filter(pk__in=list(ids)).order_by()
    return dict(events.values_list("pk", _StoredSize("payload")))


def fitting(sizes: Iterable[int]) -> int:
    """Return how many of these make up MAX_CLAIM_BYTES."""
    count = total = 0
    for size in sizes:
        if total >= conf().MAX_CLAIM_BYTES:
            break
        count, total = count + 1, total + size
    return count


def limit(dispatches: Sequence[Dispatch]) -> Sequence[Dispatch]:
    """Return the first dispatches, up to MAX_CLAIM_BYTES of payloads."""
    sizes = stored(id for dispatch in dispatches for id in dispatch.event_ids)
    count = fitting(
        sum(sizes.get(UUID(id), 0) for id in dispatch.event_ids) for dispatch in dispatches
    )
    return dispatches[:count]


def split(events: Iterable[Encoded]) -> Iterator[list[Encoded]]:
    """Yield batches of up to BATCH_SIZE events; one of MAX_MESSAGE_BYTES takes no more."""
    batch: list[Encoded] = []
    size = 0
    for event in events:
        if len(batch) >= conf().BATCH_SIZE or size >= conf().MAX_MESSAGE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event[1])
    if batch:
        yield batch
