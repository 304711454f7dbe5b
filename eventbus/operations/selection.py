"""Which dead letters are meant, and which of them are alike.

A selection is evaluated in the database, when a verb begins: what dies meanwhile stays.
"""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, Max, Min, QuerySet

from eventbus.models import DeadLetter
from eventbus.publishing.serialization import rfc3339


@dataclass(frozen=True, kw_only=True)
class DeadLetterFilter:
    """Which letters: what is left open does not matter. Times are those of death."""

    consumer: str = ""
    name: str = ""
    signature: str = ""  # or a part of it
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    ids: tuple[int, ...] = ()

    def rows(self) -> QuerySet[DeadLetter]:
        """Return the letters, oldest first."""
        wanted = {
            "consumer": self.consumer,
            "name": self.name,
            "signature__contains": self.signature,
            "died_at__gte": self.since,
            "died_at__lt": self.until,
            "pk__in": self.ids,
        }
        given = {key: value for key, value in wanted.items() if value}
        return DeadLetter.objects.filter(**given).order_by("pk")

    def told(self) -> dict[str, Any]:
        """Return the filter as JSON, for the record."""
        given = {key: value for key, value in asdict(self).items() if value}
        return {k: rfc3339(v) if isinstance(v, dt.datetime) else v for k, v in given.items()}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Letters of one signature: consumer, exception, place."""

    signature: str
    letters: int
    oldest: dt.datetime
    newest: dt.datetime


def groups(selection: DeadLetterFilter) -> list[Group]:
    """Return what a selection holds, by signature, the most frequent first."""
    found = selection.rows().order_by().values("signature")
    counted = found.annotate(
        letters=Count("pk"), oldest=Min("died_at"), newest=Max("died_at")
    ).order_by("-letters", "signature")
    return [Group(**row) for row in counted]
