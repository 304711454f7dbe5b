"""Batches of a backlog: events that wait for a slow consumer are sent together."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from django.db.models import Count

from eventbus.conf import conf
from eventbus.models import Dispatch
from eventbus.relay.claim import MOST_SENT


def full_queues() -> set[str]:
    """Return the consumers with as many messages in the broker as may be there."""
    return {consumer for consumer, sent in _sent().items() if sent >= MOST_SENT}


def merge(dispatches: Sequence[Dispatch]) -> list[Dispatch]:
    """Join dispatches that were never sent into full batches; return those to send now.

    Retries and what was lost stay single, as one of their events may kill its worker.
    """
    sent, waiting, chosen = _sent(), defaultdict[tuple[str, bool], list[Dispatch]](list), []
    for dispatch in dispatches:
        if dispatch.claimed_at or dispatch.retry or dispatch.deliveries:
            chosen.append(dispatch)
        else:
            waiting[dispatch.consumer, dispatch.replayed].append(dispatch)
    for (consumer, _), found in waiting.items():
        free = max(0, MOST_SENT - sent[consumer])
        batches = _joined(found)[:free]
        sent[consumer] += len(batches)
        chosen += [_save(batch) for batch in batches]
    return sorted(chosen, key=lambda dispatch: dispatch.pk)


def _sent() -> Counter[str]:
    sent = Dispatch.objects.exclude(claimed_at=None).values_list("consumer")
    return Counter(dict(sent.annotate(Count("pk")).order_by()))


def _joined(dispatches: Sequence[Dispatch]) -> list[list[Dispatch]]:
    batches: list[list[Dispatch]] = []
    size = 0
    for dispatch in dispatches:
        size += len(dispatch.event_ids)
        if not batches or size > conf().BATCH_SIZE:
            batches.append([])
            size = len(dispatch.event_ids)
        batches[-1].append(dispatch)
    return batches


def _save(batch: Sequence[Dispatch]) -> Dispatch:
    first, *others = batch
    if others:
        # An event may be in two of them, as after two replays.
        ids = [id for dispatch in batch for id in dispatch.event_ids]
        first.event_ids = list(dict.fromkeys(ids))
        first.save(update_fields=["event_ids"])
        Dispatch.objects.filter(pk__in=[dispatch.pk for dispatch in others]).delete()
    return first
