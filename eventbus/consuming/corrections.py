"""Corrections: payloads edited by an operator, delivered to one consumer instead of the logged.

The log is never changed, and other consumers receive the logged payload.
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
    """Return the corrected data of retries and replays, by consumer and event id."""
    # A first delivery has none: a payload is edited after it failed.
    later = [dispatch for dispatch in dispatches if dispatch.retry or dispatch.replayed]
    ids = {id for dispatch in later for id in dispatch.event_ids}
    if not ids:
        return {}
    rows = Correction.objects.filter(event_id__in=ids).order_by("pk")  # the latest row counts
    return {(row.consumer, str(row.event_id)): {"data": cast(Any, row.payload)} for row in rows}


def corrected_payload(consumer: str) -> Coalesce:
    """Return an annotation for a query of events: the payload that this consumer receives."""
    corrections = Correction.objects.filter(consumer=consumer, event_id=OuterRef("pk"))
    return Coalesce(Subquery(corrections.order_by("-pk").values("payload")[:1]), F("payload"))


def checked(name: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload in its canonical form. Raises BadPayload, NotInstalled."""
    event_type: Any = event_types.get(name)
    if event_type is None:
        raise NotInstalled(name=name)
    unknown = sorted(set(payload) - {field.name for field in fields(event_type)})
    if unknown:
        raise BadPayload(name=name, problem=f"it has no field {', '.join(unknown)}")
    try:
        return payload_of(msgspec.convert(payload, event_type))
    except msgspec.ValidationError as error:
        raise BadPayload(name=name, problem=error) from error


def diff(before: Any, after: Any) -> list[str]:
    """Return the changes between two payloads as the lines of a unified diff."""
    old, new = (
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
        for value in (before, after)
    )
    return list(difflib.unified_diff(old, new, "now", "edited", lineterm=""))
