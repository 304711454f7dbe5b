"""What one consumer is told in place of the log's words, because an operator mended them.

The log is never changed, and nobody else hears of it.
"""

import difflib
import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, cast

import msgspec
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from eventbus.errors import BadPayload, NotInstalled
from eventbus.events import event_types
from eventbus.models import Correction, Dispatch
from eventbus.publishing.serialization import payload_of


def corrected(dispatches: Iterable[Dispatch]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what second attempts and replays carry instead, by consumer and event id."""
    late = [dispatch for dispatch in dispatches if dispatch.retry or dispatch.replayed]
    ids = {id for dispatch in late for id in dispatch.event_ids}
    return _told(Correction.objects.filter(event_id__in=ids)) if ids else {}


def corrected_payload(consumer: str) -> Coalesce:
    """Return a payload of the log as this consumer is to be told it, for a query of events."""
    instead = Correction.objects.filter(consumer=consumer, event_id=OuterRef("pk"))
    return Coalesce(Subquery(instead.order_by("-pk").values("payload")[:1]), F("payload"))


def checked(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload in its canonical form. Raises BadPayload, NotInstalled."""
    kind: Any = event_types.get(name)
    if kind is None:
        raise NotInstalled(name=name)
    strange = sorted(set(payload) - {field.name for field in fields(kind)})
    if strange:
        raise BadPayload(name=name, problem=f"it has no field {', '.join(strange)}")
    try:
        return payload_of(msgspec.convert(payload, kind))
    except msgspec.ValidationError as problem:
        raise BadPayload(name=name, problem=problem) from problem


def diff(before: Any, after: Any) -> list[str]:
    """Return what changes between two payloads, as the lines of a unified diff."""
    old, new = (
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
        for value in (before, after)
    )
    return list(difflib.unified_diff(old, new, "now", "edited", lineterm=""))


def _told(rows: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (row.consumer, str(row.event_id)): {"data": cast(Any, row.payload)}
        for row in rows.order_by("pk")
    }
