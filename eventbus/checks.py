"""System checks: consumers against contracts, contracts against code, settings of Celery.

Django's `check` reports them; `enforce` raises them at the start of a process, as Celery runs the
checks and ignores their result, and gunicorn runs none.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection

from eventbus import registry
from eventbus.conf import conf
from eventbus.errors import BadPayload, ContractsBroken
from eventbus.events import Envelope, event_types
from eventbus.models import Correction, Dispatch, Event, Outbox, Parked, Retry, Scheduled
from eventbus.publishing import contracts
from eventbus.publishing.compatibility import incompatibilities
from eventbus.publishing.spelling import nearest
from eventbus.publishing.unstated import unstated
from eventbus.registry import Consumer

EXAMINED = 1000  # rows of each table in a check of undelivered events


@register("eventbus")
def check_contexts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Compare every consumer with the contracts, and every contract with the code."""
    try:
        conf()
    except ImproperlyConfigured as problem:
        return [Error(str(problem), hint="See docs/operate/configuration.md.", id="eventbus.E009")]
    return [*_consumers(), *_contracts(), *_point_to_point(), *_celery_settings()]


def enforce() -> None:
    """Raise ContractsBroken with every problem at once."""
    problems = check_contexts(None)
    if problems:
        raise ContractsBroken(problems="\n".join(map(str, problems)))


def _consumers() -> Iterator[Error]:
    published = contracts.published()
    for consumer in registry.consumers.values():
        for name in consumer.events:
            if name not in published:
                meant = nearest(name, published)
                yield Error(
                    f"{consumer.name} subscribes to {name}, which no context publishes.",
                    hint=f"Did you mean {meant}?" if meant else "See docs/event-map.md.",
                    id="eventbus.E001",
                )
                continue
            offered = published[name]
            reader = consumer.payload_type
            different = incompatibilities(contracts.schema_of(reader), offered)
            for problem in [*unstated(reader), *different]:
                yield Error(
                    f"{consumer.name} reads {name}: {problem}.",
                    hint=f"It offers: {', '.join(offered['properties'])}.",
                    id="eventbus.E002",
                )


def _contracts() -> Iterator[Error]:
    for name in contracts.stale():
        yield Error(
            f"The contract of {name} differs from its code.",
            hint="Run manage.py makecontracts.",
            id="eventbus.E003",
        )
    for name, event_type in event_types.items():
        if not event_type.__doc__ or event_type.__doc__.startswith(f"{event_type.__name__}("):
            yield Error(
                f"{name} has no docstring.",
                hint="State the fact in its docstring: it is part of the contract.",
                id="eventbus.E004",
            )


def _point_to_point() -> Iterator[Error]:
    for name, contract in contracts.published().items():
        context = contract.get("x-only-for")
        contexts = [c.context for c in registry.consumers_of(name)]
        others = set(contexts) - {context}
        if context and (others or len(contexts) > 1):
            yield Error(
                f"{name} is for one consumer in {context}, but {', '.join(contexts)} subscribe.",
                hint="Drop `only_for`, or the other subscriptions.",
                id="eventbus.E005",
            )


def _celery_settings() -> Iterator[Error]:
    """Refuse settings under which a message could be lost."""
    if not getattr(settings, "CELERY_BROKER_URL", None):
        return
    required: Sequence[tuple[str, object]] = [
        ("CELERY_TASK_ACKS_LATE", True),
        ("CELERY_TASK_REJECT_ON_WORKER_LOST", True),
        ("CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT", False),
    ]
    for name, value in required:
        if getattr(settings, name, None) != value:
            yield Error(
                f"{name} must be {value}: otherwise a message can be lost.",
                hint="See docs/guarantees.md.",
                id="eventbus.E006",
            )
    options = getattr(settings, "CELERY_BROKER_TRANSPORT_OPTIONS", {})
    over_redis = settings.CELERY_BROKER_URL.startswith("redis")
    visible = options.get("visibility_timeout", 3600) if over_redis else 0
    yield from _time_limits(getattr(settings, "CELERY_TASK_TIME_LIMIT", None), visible)
    if not over_redis and not options.get("confirm_publish"):
        yield Error(
            "RabbitMQ is not asked to confirm the messages it accepts.",
            hint="Set confirm_publish in CELERY_BROKER_TRANSPORT_OPTIONS.",
            id="eventbus.E008",
        )


def _time_limits(hard_limit: float | None, visibility_timeout: float) -> Iterator[Error]:
    """Compare the times after which a message or a call counts as lost with the longest task."""
    if hard_limit is None:
        yield Error(
            "CELERY_TASK_TIME_LIMIT is not set: a hanging task would keep its message for ever.",
            hint="Set it; with its default of 150 s all other times fit.",
            id="eventbus.E007",
        )
        return
    lost, lease = "EVENTBUS['LOST_AFTER']", "EVENTBUS['LEASE_SECONDS']"
    limit, visible = "CELERY_TASK_TIME_LIMIT", "visibility_timeout"
    seconds = {
        lost: conf().LOST_AFTER,
        lease: conf().LEASE_SECONDS,
        limit: hard_limit,
        f"twice {limit}": 2 * hard_limit,
        "EVENTBUS['MARKER_INTERVAL']": conf().MARKER_INTERVAL,
        visible: visibility_timeout,
    }
    longer = [
        (lease, limit, "another delivery would call while the first call may still run"),
        (lost, f"twice {limit}", "a worker may still have the message: it takes one in advance"),
        (lost, "EVENTBUS['MARKER_INTERVAL']", "no marker would have come through the queue"),
    ]
    if visibility_timeout:
        longer += [
            (visible, limit, "Redis would give a message to two workers at once"),
            (lost, visible, "Redis may still give the message to another worker"),
        ]
    for name, other, reason in longer:
        if seconds[name] <= seconds[other]:
            yield Error(
                f"{name} is {seconds[name]:g} s, {other} {seconds[other]:g} s: {reason}.",
                hint=f"Set {name} above {seconds[other]:g} s, or lower the other.",
                id="eventbus.E007",
            )


@register(Tags.database)
def check_undelivered(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Warn of undelivered events that the present code of their consumers cannot read.

    `migrate` runs it, and `check --database default`: before a deployment is started. Of each table
    the next EXAMINED rows are read.
    """
    if DEFAULT_DB_ALIAS not in (databases or ()):
        return []
    if Dispatch._meta.db_table not in connection.introspection.table_names():
        return []  # before the first migration
    unreadable: Counter[tuple[str, str, str]] = Counter()
    try:
        for consumer, event, payload in _undelivered():
            try:
                consumer.arguments(replace(event, payload=payload))
            except BadPayload as error:
                unreadable[consumer.name, event.name, str(error.__cause__)] += 1
    except DatabaseError as error:  # before the migration that changes a table
        return [Warning(f"Undelivered events were not examined: {error}", id="eventbus.W002")]
    return [
        Warning(
            f"{consumer} cannot read {count} undelivered {name}: {problem}.",
            hint="They would become dead letters. Give the parameter a default or a wider type.",
            id="eventbus.W001",
        )
        for (consumer, name, problem), count in sorted(unreadable.items())
    ]


def _undelivered() -> Iterator[tuple[Consumer, Envelope, dict[str, Any]]]:
    """Yield consumer, event and the payload that the consumer would receive."""
    for row in Scheduled.objects.order_by("due_at")[:EXAMINED]:
        for consumer in registry.consumers_of(row.name):
            yield consumer, _as_envelope(row), row.payload
    waiting = list(Outbox.objects.order_by("pk").values_list("event_id", flat=True)[:EXAMINED])
    for event in Event.objects.filter(pk__in=waiting):
        for consumer in registry.consumers_of(event.name):
            yield consumer, event.envelope(), event.payload
    owed = {
        (row.consumer, UUID(id))
        for row in Dispatch.objects.order_by("pk")[:EXAMINED]
        for id in row.event_ids
    }
    for table in (Retry, Parked):
        rows = table._default_manager.order_by("pk")
        owed.update(rows.values_list("consumer", "event_id")[:EXAMINED])
    logged = Event.objects.in_bulk({event for _, event in owed})
    corrected = {
        (row.consumer, row.event_id): row.payload
        for row in Correction.objects.filter(event_id__in=logged).order_by("pk")
    }
    for name, id in owed:
        known = registry.consumers.get(name)
        # Another process may have the code, and an event that is not in the log is never read.
        if known and id in logged and logged[id].name in known.events:
            payload = corrected.get((name, id), logged[id].payload)
            yield known, logged[id].envelope(), payload


def _as_envelope(row: Scheduled) -> Envelope:
    return Envelope(
        id=row.pk,
        name=row.name,
        payload=row.payload,
        recorded_at=row.due_at,
        correlation=row.correlation,
    )
