"""Filter and grouping of dead letters, both evaluated in the database.

A filter is evaluated when an operation starts: dead letters that are added later stay as they are.
"""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, Max, Min, QuerySet

from eventbus.models import DeadLetter
from eventbus.publishing.serialization import rfc3339


@dataclass(frozen=True, kw_only=True)
class DeadLetterFilter:
    """A filter of dead letters: empty fields match all, times are those of `died_at`."""

    consumer: str = ""
    name: str = ""
    signature: str = ""  # or a part of it
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    ids: tuple[int, ...] = ()

    def rows(self) -> QuerySet[DeadLetter]:
        """Return the matching dead letters, oldest first."""
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

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are set, for the audit record."""
        given = {key: value for key, value in asdict(self).items() if value}
        return {k: rfc3339(v) if isinstance(v, dt.datetime) else v for k, v in given.items()}


@dataclass(frozen=True, kw_only=True)
class SignatureGroup:
    """Dead letters with one signature: the same consumer, exception and code location."""

    signature: str
    count: int
    oldest: dt.datetime
    newest: dt.datetime


def group_by_signature(selection: DeadLetterFilter) -> list[SignatureGroup]:
    """Return the matching dead letters as groups, the largest first."""
    found = selection.rows().order_by().values("signature")
    counted = found.annotate(
        count=Count("pk"), oldest=Min("died_at"), newest=Max("died_at")
    ).order_by("-count", "signature")
    return [SignatureGroup(**row) for row in counted]
