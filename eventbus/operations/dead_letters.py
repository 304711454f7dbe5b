"""What operators may do with dead letters: try again, discard, mend, note. Each is written down.

What came of each letter is an outcome of the action.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, cast

from django.db import transaction
from django.db.models import Max, QuerySet
from django.forms.models import model_to_dict

from eventbus.consuming import corrections
from eventbus.errors import NeedsReason, NotInLog
from eventbus.models import (
    Action,
    Correction,
    DeadLetter,
    Discarded,
    Event,
    Inbox,
    Outcome,
    Retry,
)
from eventbus.operations.audit_log import record_action, record_progress
from eventbus.operations.selection import DeadLetterFilter, groups
from eventbus.publishing.serialization import rfc3339
from infra import clock
from infra.failpoints import reach

BATCH = 500  # letters in one transaction

Progress = Callable[[int], object]
Result = dict[str, dict[str, int]]


def retry(selection: DeadLetterFilter, actor: str, progress: Progress = lambda n: None) -> Result:
    """Have each letter delivered again, as if for the first time; return what came of them.

    What is no longer in the log cannot be delivered: such a letter stays.
    """
    return _each_batch("retried", selection, actor, _retry, progress)


def discard(
    selection: DeadLetterFilter, why: str, actor: str, progress: Progress = lambda n: None
) -> Result:
    """Give letters up for good, and keep them whole for the record. Raises NeedsReason."""
    return _each_batch("discarded", selection, actor, _discard, progress, _reason(why))


def note(
    selection: DeadLetterFilter, text: str, actor: str, progress: Progress = lambda n: None
) -> Result:
    """Add a line to the letters' notes: when, who, what. Raises NeedsReason."""
    return _each_batch("noted", selection, actor, _note, progress, _reason(text))


@transaction.atomic
def edit_and_retry(letter: int, payload: dict[str, Any], actor: str) -> None:
    """Tell the letter's consumer this instead, and deliver it again; the log keeps its words.

    Raises DeadLetter.DoesNotExist, NotInLog, BadPayload, and NotInstalled where the event's class
    is not here to check it against.
    """
    row = DeadLetter.objects.select_for_update().get(pk=letter)
    event = Event.objects.filter(pk=row.event_id).first()
    if event is None:
        raise NotInLog(event=row.event_id)
    edited, before = corrections.checked(row.name, payload), row.envelope["data"]
    # Which fields, not what is in them: payloads are not for everybody.
    changed = sorted(k for k in {*edited, *before} if edited.get(k) != before.get(k))
    with record_action(
        "edited", actor, chosen={"ids": [letter]}, preview=_counted([row]), total=1
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
        action.done = 1


def _reason(text: str) -> str:
    if not text.strip():
        raise NeedsReason
    return text.strip()


def _each_batch(
    verb: str,
    selection: DeadLetterFilter,
    actor: str,
    change: Callable[[Sequence[DeadLetter], Action], object],
    progress: Progress,
    why: str = "",
) -> Result:
    rows, seen = selection.rows(), 0
    last = rows.aggregate(last=Max("pk"))["last"] or 0
    preview = {group.signature: group.letters for group in groups(selection)}
    chosen, total = selection.told(), sum(preview.values())
    with record_action(verb, actor, chosen=chosen, preview=preview, total=total, why=why) as action:
        while batch := _batch(rows.filter(pk__gt=seen, pk__lte=last), action, change):
            seen = batch[-1].pk
            progress(len(batch))
    return cast(Result, action.result)


@transaction.atomic
def _batch(
    rows: QuerySet[DeadLetter],
    action: Action,
    change: Callable[[Sequence[DeadLetter], Action], object],
) -> list[DeadLetter]:
    batch = list(rows.select_for_update(skip_locked=True)[:BATCH])
    if batch:
        change(batch, action)
        record_progress(action, len(batch))
    return batch


def _retry(letters: Sequence[DeadLetter], action: Action) -> None:
    logged = Event.objects.filter(pk__in=[letter.event_id for letter in letters])
    known = set(logged.values_list("pk", flat=True))
    going = [letter for letter in letters if letter.event_id in known]
    now = clock.now()
    Retry.objects.bulk_create(
        [
            Retry(
                consumer=letter.consumer,
                event_id=letter.event_id,
                next_at=now,
                error=letter.error,
                signature=letter.signature,
                failed_at=letter.died_at,
                replayed=letter.envelope.get("replayed", False),
            )
            for letter in going
        ],
        update_conflicts=True,
        unique_fields=["consumer", "event_id"],
        update_fields=["attempts", "deliveries", "next_at"],
    )
    _forget_starts(going)
    DeadLetter.objects.filter(pk__in=[letter.pk for letter in going]).delete()
    _came(action, "retried", going)
    _came(action, "not in the log", [x for x in letters if x.event_id not in known])
    reach("dead-letters-retried")


def _forget_starts(letters: Sequence[DeadLetter]) -> None:
    """Take back calls that were cut off: the operator's word makes the next one a fresh one."""
    of: dict[str, list[Any]] = defaultdict(list)
    for letter in letters:
        of[letter.consumer].append(letter.event_id)
    for consumer, ids in of.items():
        Inbox.objects.filter(consumer=consumer, event_id__in=ids, handled_at=None).delete()


def _discard(letters: Sequence[DeadLetter], action: Action) -> None:
    Discarded.objects.bulk_create(
        Discarded(
            action=action,
            consumer=letter.consumer,
            event_id=letter.event_id,
            letter=_plain(letter),
        )
        for letter in letters
    )
    DeadLetter.objects.filter(pk__in=[letter.pk for letter in letters]).delete()
    _came(action, "discarded", letters)


def _note(letters: Sequence[DeadLetter], action: Action) -> None:
    line = f"{clock.now():%F %R} {action.actor}: {action.why}"
    for letter in letters:
        letter.notes = f"{letter.notes}\n{line}".strip()
    DeadLetter.objects.bulk_update(letters, ["notes"])
    _came(action, "noted", letters)


def _plain(letter: DeadLetter) -> dict[str, Any]:
    kept: dict[str, Any] = model_to_dict(letter)
    return kept | {"event_id": str(letter.event_id), "died_at": rfc3339(letter.died_at)}


def _came(action: Action, what: str, letters: Sequence[DeadLetter]) -> None:
    Outcome.objects.bulk_create(
        Outcome(action=action, consumer=letter.consumer, event_id=letter.event_id, came=what)
        for letter in letters
    )
    for signature, n in _counted(letters).items():
        group = action.result.setdefault(signature, {})
        group[what] = group.get(what, 0) + n


def _counted(letters: Sequence[DeadLetter]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for letter in letters:
        counts[letter.signature] += 1
    return dict(counts)
