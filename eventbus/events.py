"""Events and their envelopes. An event is a fact of one context that other contexts may consume."""

import datetime as dt
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, Union, dataclass_transform, get_args, get_origin
from uuid import UUID

import msgspec

event_types: dict[str, type["Event"]] = {}  # by wire name; filled by the contexts' events.py


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Event:
    """A fact. Subclass it in a context's `events.py`; its docstring is part of its contract.

    `about` names the field with the id of the event's aggregate;
    `only_for` makes the event point-to-point: exactly one consumer, in that context.
    """

    about: ClassVar[str | None]
    only_for: ClassVar[str | None]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, about: str | None = None, only_for: str | None = None) -> None:
        cls.__annotations__ = {
            name: zoned(annotation) for name, annotation in cls.__annotations__.items()
        }
        dataclass(frozen=True, kw_only=True)(cls)
        # `name` is not declared above: an event may have a field of that name.
        cls.name = name_of(cls)  # type: ignore[attr-defined]
        cls.about, cls.only_for = about, only_for
        event_types[name_of(cls)] = cls

    @property
    def aggregate(self) -> str:
        """The aggregate as `order:0190…`; empty if the event declares no `about`."""
        if self.about is None:
            return ""
        return f"{self.about.removesuffix('_id')}:{getattr(self, self.about)}"


def zoned(annotation: Any) -> Any:
    """Return the type with a time zone required for each time (JSON Schema: date-time)."""
    if annotation is dt.datetime:
        return Annotated[dt.datetime, msgspec.Meta(tz=True)]
    origin, parts = get_origin(annotation), tuple(map(zoned, get_args(annotation)))
    if origin in (Union, UnionType):
        return Union[parts]  # noqa: UP007
    if origin in (list, tuple, set, frozenset, dict):
        return origin[parts]
    return annotation


def name_of(event_type: type[Event]) -> str:
    """Return the wire name: `<context>.<Event>`."""
    return f"{event_type.__module__.partition('.')[0]}.{event_type.__name__}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """A delivered event: payload and metadata.

    A consumer receives it by a parameter of this type. Field by field it is a CloudEvents 1.0
    event (see `eventbus.cloudevents`); `recorded_at` is from the database's clock.
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
    replayed: bool = False  # delivered again, or late, by an operator's replay
