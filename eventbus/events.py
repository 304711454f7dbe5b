"""What an event is: a fact that happened in one context and may matter in another."""

import datetime as dt
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, dataclass_transform, get_args, get_origin
from uuid import UUID

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Event:
    """A fact. Subclass it in a context's `events.py`; its docstring is part of its contract.

    `about` names the field that holds the id of what the fact is about (its aggregate);
    `only_for` makes it point-to-point: exactly one consumer, in that context.
    """

    about: ClassVar[str | None]
    only_for: ClassVar[str | None]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, about: str | None = None, only_for: str | None = None) -> None:
        from eventbus import registry

        cls.__annotations__ = {name: aware(kind) for name, kind in cls.__annotations__.items()}
        dataclass(frozen=True, kw_only=True)(cls)
        # Not declared above: a fact may have a field `name` of its own.
        cls.name = name_of(cls)  # type: ignore[attr-defined]
        cls.about, cls.only_for = about, only_for
        registry.events[name_of(cls)] = cls

    @property
    def aggregate(self) -> str:
        """What the fact is about, as `order:0190…`; empty where the event names nothing."""
        if self.about is None:
            return ""
        return f"{self.about.removesuffix('_id')}:{getattr(self, self.about)}"


def aware(kind: Any) -> Any:
    """Return the type with every time in it promised to have a zone (JSON Schema: date-time)."""
    if kind is dt.datetime:
        return Annotated[dt.datetime, msgspec.Meta(tz=True)]
    if get_origin(kind) in (Union, UnionType):
        return Union[tuple(aware(part) for part in get_args(kind))]  # noqa: UP007
    return kind


def name_of(kind: type[Event]) -> str:
    """Return the wire name: `<context>.<Event>`."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """An event on its way, with what is known about its origin.

    A consumer receives it by naming a parameter of this type. Field by field it is a
    CloudEvents 1.0 event (see `eventbus.cloudevents`); `recorded_at` is the database's clock.
    """

    id: UUID
    name: str
    payload: dict[str, Any]
    recorded_at: dt.datetime
    correlation: UUID
    causation: UUID | None = None
    aggregate: str = ""
    aggregate_version: int | None = None
    traceparent: str = ""
    tracestate: str = ""
    actor: str = ""
    replayed: bool = False  # an operator had it told again, or late
