"""Misunderstandings between contexts, found before anything starts.

Django's own `check` reports them; `enforce` raises them where Django's report is not heeded
(Celery runs the checks at start and ignores what they say; gunicorn runs none).
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from eventbus import registry
from eventbus.errors import ContractsBroken
from eventbus.events import event_types
from eventbus.publishing import contracts


@register("eventbus")
def contexts_understand_each_other(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Hold every reader against the contract, and every contract against the code."""
    return [*_readers(), *_contracts(), *_addressees(), *_legs()]


def enforce() -> None:
    """Raise ContractsBroken with every problem at once."""
    problems = contexts_understand_each_other(None)
    if problems:
        raise ContractsBroken(problems="\n".join(map(str, problems)))


def _readers() -> Iterator[Error]:
    published = contracts.published()
    for consumer in registry.consumers.values():
        for name in consumer.events:
            if name not in published:
                nearest = contracts.nearest(name, published)
                yield Error(
                    f"{consumer.name} listens to {name}, which nobody publishes.",
                    hint=f"Did you mean {nearest}?" if nearest else "See docs/event-map.md.",
                    id="eventbus.E001",
                )
                continue
            offered = published[name]
            for problem in contracts.misreadings(
                contracts.schema_of(consumer.payload_type), offered
            ):
                yield Error(
                    f"{consumer.name} reads {name}: {problem}.",
                    hint=f"It offers: {', '.join(offered['properties'])}.",
                    id="eventbus.E002",
                )


def _contracts() -> Iterator[Error]:
    for name in contracts.stale():
        yield Error(
            f"The contract of {name} is not what its code says.",
            hint="Run manage.py makecontracts.",
            id="eventbus.E003",
        )
    for name, kind in event_types.items():
        if not kind.__doc__ or kind.__doc__.startswith(f"{kind.__name__}("):
            yield Error(f"{name} has no docstring.", hint="Say what it means.", id="eventbus.E004")


def _addressees() -> Iterator[Error]:
    for name, contract in contracts.published().items():
        context = contract.get("x-only-for")
        contexts = [c.context for c in registry.consumers_of(name)]
        strangers = sorted(set(contexts) - {context})
        if context and (strangers or len(contexts) > 1):
            yield Error(
                f"{name} is for one consumer in {context}, but {', '.join(contexts)} listen.",
                hint="Publish a fact for everybody, or leave it to its addressee.",
                id="eventbus.E005",
            )


def _legs() -> Iterator[Error]:
    """Refuse Celery settings under which a message could be lost."""
    if not getattr(settings, "CELERY_BROKER_URL", None):
        return
    wanted: Sequence[tuple[str, object]] = [
        ("CELERY_TASK_ACKS_LATE", True),
        ("CELERY_TASK_REJECT_ON_WORKER_LOST", True),
        ("CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT", False),
    ]
    for name, value in wanted:
        if getattr(settings, name, None) != value:
            yield Error(
                f"{name} must be {value}: otherwise a message can be lost.",
                hint="See docs/guarantees.md.",
                id="eventbus.E006",
            )
    options = getattr(settings, "CELERY_BROKER_TRANSPORT_OPTIONS", {})
    hard = getattr(settings, "CELERY_TASK_TIME_LIMIT", None)
    over_redis = settings.CELERY_BROKER_URL.startswith("redis")
    if hard is None or (over_redis and options.get("visibility_timeout", 0) <= hard):
        yield Error(
            "Redis gives a message to a second worker before the first one must have ended.",
            hint="Set visibility_timeout above CELERY_TASK_TIME_LIMIT.",
            id="eventbus.E007",
        )
    if not over_redis and not options.get("confirm_publish"):
        yield Error(
            "RabbitMQ is not asked to confirm what it takes.",
            hint="Set confirm_publish in CELERY_BROKER_TRANSPORT_OPTIONS.",
            id="eventbus.E008",
        )
