"""Operations on dead letters: retry, discard, note, edit.

Each adds an audit record (`Action`), and an `Outcome` for each dead letter.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from django.db.models import Max, QuerySet
from django.forms.models import model_to_dict

from eventbus.consuming import corrections, streams
from eventbus.errors import NeedsReason, NotInLog
from eventbus.models import (
    Action,
    Correction,
    DeadLetter,
    DiscardedDeadLetter,
    Event,
    Inbox,
    Outcome,
    Retry,
)
from eventbus.operations.audit_log import record_action, record_progress, step
from eventbus.operations.dead_letter_filter import DeadLetterFilter, group_by_signature
from eventbus.publishing.serialization import rfc3339
from infra import clock
from infra.failpoints import reach
from infra.transactions import atomic

BATCH = 500  # dead letters in one transaction

Operation, Result = Action.Operation, Outcome.Result
Progress = Callable[[int], object]
Counts = dict[str, dict[str, int]]  # signature -> result -> number of dead letters


def retry(selection: DeadLetterFilter, actor: str, progress: Progress = lambda n: None) -> Counts:
    """Deliver the dead letters again, counting attempts from 0; return the results.

    A dead letter whose event is no longer in the log stays: it cannot be delivered.
    """
    return _run(Operation.RETRY, selection, actor, _retry, progress)


def discard(
    selection: DeadLetterFilter, reason: str, actor: str, progress: Progress = lambda n: None
) -> Counts:
    """Discard the dead letters for good, and keep a copy of each. Raises NeedsReason."""
    return _run(Operation.DISCARD, selection, actor, _discard, progress, _required(reason))


def note(
    selection: DeadLetterFilter, text: str, actor: str, progress: Progress = lambda n: None
) -> Counts:
    """Add a line with time, actor and text to the dead letters' notes. Raises NeedsReason."""
    return _run(Operation.NOTE, selection, actor, _note, progress, _required(text))


@atomic
def edit_and_retry(pk: int, payload: dict[str, Any], actor: str) -> None:
    """Deliver a dead letter again with an edited payload; the log keeps the original.

    Raises DeadLetter.DoesNotExist, NotInLog, BadPayload, and NotInstalled if the event's class
    is not installed here, so that the payload cannot be checked.
    """
    row = DeadLetter.objects.select_for_update().get(pk=pk)
    event = Event.objects.filter(pk=row.event_id).first()
    if event is None:
        raise NotInLog(event=row.event_id)
    edited, before = corrections.checked(row.name, payload), row.envelope["data"]
    # Only the names of the changed fields: not every operator may view payloads.
    changed = sorted(k for k in {*edited, *before} if edited.get(k) != before.get(k))
    with record_action(
        Operation.EDIT, actor, selection={"ids": [pk]}, preview=_count([row]), total=1
    ) as action:
        Correction.objects.create(
            consumer=row.consumer,
            event_id=row.event_id,
            payload=edited,
            original=event.payload,
            actor=actor,
        )
        _retry([row], action)
        action.result |= {"fields": changed}
        action.processed = 1


def _required(text: str) -> str:
    if not text.strip():
        raise NeedsReason
    return text.strip()


def _run(
    operation: Action.Operation,
    selection: DeadLetterFilter,
    actor: str,
    change: Callable[[Sequence[DeadLetter], Action], object],
    progress: Progress,
    reason: str = "",
) -> Counts:
    rows, seen = selection.rows(), 0
    last = rows.aggregate(last=Max("pk"))["last"] or 0
    preview = {group.signature: group.count for group in group_by_signature(selection)}
    with record_action(
        operation,
        actor,
        selection=selection.as_json(),
        preview=preview,
        total=sum(preview.values()),
        reason=reason,
    ) as action:
        while batch := step(
            action,
            partial(_change_batch, rows.filter(pk__gt=seen, pk__lte=last), action, change),
        ):
            seen = batch[-1].pk
            progress(len(batch))
    return cast(Counts, action.result)


def _change_batch(
    rows: QuerySet[DeadLetter],
    action: Action,
    change: Callable[[Sequence[DeadLetter], Action], object],
) -> list[DeadLetter]:
    batch = list(rows.select_for_update(skip_locked=True)[:BATCH])
    if batch:
        change(batch, action)
        record_progress(action, len(batch))
    return batch


def _retry(dead_letters: Sequence[DeadLetter], action: Action) -> None:
    logged = Event.objects.filter(pk__in=[row.event_id for row in dead_letters])
    known = set(logged.values_list("pk", flat=True))
    retried = [row for row in dead_letters if row.event_id in known]
    now = clock.now()
    Retry.objects.bulk_create(
        [
            Retry(
                consumer=row.consumer,
                event_id=row.event_id,
                next_at=now,
                error=row.error,
                signature=row.signature,
                failed_at=row.died_at,
                replayed=row.envelope.get("replayed", False),
            )
            for row in retried
        ],
        update_conflicts=True,
        unique_fields=["consumer", "event_id"],
        update_fields=["attempts", "deliveries", "next_at"],
    )
    _delete_started(retried)
    DeadLetter.objects.filter(pk__in=[row.pk for row in retried]).delete()
    _record(action, Result.RETRIED, retried)
    _record(action, Result.NOT_IN_LOG, [row for row in dead_letters if row.event_id not in known])
    reach("dead-letters-retried")


def _delete_started(dead_letters: Sequence[DeadLetter]) -> None:
    """Delete inbox rows of interrupted external calls, so that a retry makes the call again."""
    ids: dict[str, list[Any]] = defaultdict(list)
    for row in dead_letters:
        ids[row.consumer].append(row.event_id)
    for consumer, events in ids.items():
        Inbox.objects.filter(consumer=consumer, event_id__in=events, handled_at=None).delete()


def _discard(dead_letters: Sequence[DeadLetter], action: Action) -> None:
    DiscardedDeadLetter.objects.bulk_create(
        DiscardedDeadLetter(
            action=action, consumer=row.consumer, event_id=row.event_id, dead_letter=_as_json(row)
        )
        for row in dead_letters
    )
    DeadLetter.objects.filter(pk__in=[row.pk for row in dead_letters]).delete()
    _record(action, Result.DISCARDED, dead_letters)
    # Otherwise the relay wakes the events behind them at its next search for lost messages.
    for consumer in {row.consumer for row in dead_letters}:
        streams.wake(consumer)


def _note(dead_letters: Sequence[DeadLetter], action: Action) -> None:
    line = f"{clock.now():%F %R} {action.actor}: {action.reason}"
    for row in dead_letters:
        row.notes = f"{row.notes}\n{line}".strip()
    DeadLetter.objects.bulk_update(dead_letters, ["notes"])
    _record(action, Result.NOTED, dead_letters)


def _as_json(row: DeadLetter) -> dict[str, Any]:
    columns: dict[str, Any] = model_to_dict(row)
    return columns | {"event_id": str(row.event_id), "died_at": rfc3339(row.died_at)}


def _record(action: Action, result: Outcome.Result, dead_letters: Sequence[DeadLetter]) -> None:
    Outcome.objects.bulk_create(
        Outcome(action=action, consumer=row.consumer, event_id=row.event_id, result=result)
        for row in dead_letters
    )
    for signature, n in _count(dead_letters).items():
        group = action.result.setdefault(signature, {})
        group[result.value] = group.get(result.value, 0) + n


def _count(dead_letters: Sequence[DeadLetter]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for row in dead_letters:
        counts[row.signature] += 1
    return dict(counts)
