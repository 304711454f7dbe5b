"""Who says what and who hears it: filled by the contexts' `events.py` and `consumers.py`."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass, field, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from eventbus.errors import BadConsumer, BadPayload
from eventbus.events import Envelope, Event, aware

Handler = TypeVar("Handler", bound=Callable[..., Any])
Key = str | Callable[..., Iterable[object]] | None

events: dict[str, type[Event]] = {}
consumers: dict[str, "Consumer"] = {}


@dataclass(frozen=True)
class Consumer:
    """One reaction of one context. Its identity, `<context>.<function>`, is stored in rows."""

    name: str
    hears: tuple[str, ...]
    handle: Callable[..., Any] = field(repr=False)
    reads: type[msgspec.Struct] = field(repr=False)
    envelope_as: str | None = None
    external: bool = False
    idempotent: bool = True
    key: Key = None
    renamed_from: str | None = None
    replayable: bool = False
    item: type | None = None  # of batch=True: what its list holds

    @property
    def context(self) -> str:
        """The context; also the name of the queue."""
        return self.name.partition(".")[0]

    def arguments(self, envelope: Envelope) -> dict[str, Any]:
        """Fill the handler's parameters from the event. Raises BadPayload: it cannot get better."""
        try:
            read = msgspec.convert(envelope.payload, self.reads)
        except msgspec.ValidationError as problem:
            raise BadPayload(name=envelope.name, problem=problem) from problem
        found = msgspec.structs.asdict(read)
        if self.envelope_as:
            found[self.envelope_as] = envelope
        return found

    def batch(self, envelopes: Iterable[Envelope]) -> list[Any]:
        """Return what a `batch=True` handler is handed. Raises BadPayload."""
        assert self.item
        return [self.item(**self.arguments(envelope)) for envelope in envelopes]

    def keys(self, envelope: Envelope) -> list[str]:
        """What handling this event touches, as lock names; its own name when it does not say."""
        if self.key is None:
            return [self.name]
        found = self.arguments(envelope)
        chosen = {name: found[name] for name in _names(self.key)}
        touched = chosen.values() if isinstance(self.key, str) else self.key(**chosen)
        return sorted({f"{self.context}/{value}" for value in touched})


def consumer(
    *hears: str,
    external: bool = False,
    idempotent: bool = True,
    key: Key = None,
    renamed_from: str | None = None,
    replayable: bool = False,
    batch: bool = False,
) -> Callable[[Handler], Handler]:
    """Subscribe a function to one or more events by their wire names.

    Its parameters are the fields it reads; an `Envelope` parameter receives the metadata.
    It runs in the transaction that marks the event handled, so its effect happens once.

    external: it calls other systems. It runs in no transaction; a function it returns is run in
        the transaction that marks the event handled. `idempotent=False` says the call may not be
        made again when it was cut off: such an event goes to the dead letters.
    key: what it touches, a parameter's name or a function of the parameters it names: events with
        the same key take turns, others go side by side. Without one all its events take turns.
    renamed_from: its former name, after a rename.
    replayable: an operator may have it handle again what it has handled: it ends the same.
    batch: for read models: it takes one list, of a dataclass whose fields are what it reads, and
        is called once for all events of a message that it has not handled yet, in their order.
        They have no one cause, so inside it `origin()` is refused, and with it `publish`. Where
        it fails they come again one by one, in lists of one: only what fails goes to the retries.

    Raises BadConsumer.
    """

    def subscribe(handle: Handler) -> Handler:
        name = f"{handle.__module__.partition('.')[0]}.{handle.__name__}"
        if name in consumers and consumers[name].handle.__code__ is not handle.__code__:
            raise BadConsumer(consumer=name, problem="another consumer has this name")
        if not hears:
            raise BadConsumer(consumer=name, problem="it names no event")
        if batch and external:
            problem = "batch=True shares one transaction, and external=True has none"
            raise BadConsumer(consumer=name, problem=problem)
        item = _item(name, handle) if batch else None
        reads, envelope_as = _signature(name, item or handle)
        strange = set(_names(key)) - set(reads.__struct_fields__)
        if strange:
            raise BadConsumer(
                consumer=name, problem=f"its key names {', '.join(strange)}, which it does not read"
            )
        consumers[name] = Consumer(
            name,
            hears,
            handle,
            reads,
            envelope_as,
            external,
            idempotent,
            key,
            renamed_from,
            replayable,
            item,
        )
        return handle

    return subscribe


def listeners(event: str) -> list[Consumer]:
    """Return the consumers of an event."""
    return [c for c in consumers.values() if event in c.hears]


@cache
def _names(key: Key) -> tuple[str, ...]:
    if callable(key):
        return tuple(inspect.signature(key).parameters)
    return (key,) if key else ()


def _item(name: str, handle: Callable[..., Any]) -> type:
    """Return the class of whose instances a batch handler takes a list."""
    parameters, hints = inspect.signature(handle).parameters, get_type_hints(handle)
    kinds = [hints.get(parameter) for parameter in parameters]
    if len(kinds) == 1 and get_origin(kinds[0]) in (list, Sequence):
        (item,) = get_args(kinds[0])
        if isinstance(item, type) and is_dataclass(item) and item is not Envelope:
            return item
    problem = "with batch=True it takes one list of a dataclass with the fields it reads"
    raise BadConsumer(consumer=name, problem=problem)


def _signature(name: str, handle: Callable[..., Any]) -> tuple[type[msgspec.Struct], str | None]:
    hints, envelope_as = get_type_hints(handle), None
    fields: list[Any] = []
    for parameter in inspect.signature(handle).parameters.values():
        if parameter.name not in hints:
            raise BadConsumer(consumer=name, problem=f"parameter '{parameter.name}' has no type")
        kind = aware(hints[parameter.name])
        if kind is Envelope:
            envelope_as = parameter.name
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, kind))
        else:
            fields.append((parameter.name, kind, _default(handle, parameter)))
    return msgspec.defstruct(handle.__name__, fields, kw_only=True), envelope_as


def _default(of: Any, parameter: inspect.Parameter) -> Any:
    known = getattr(of, "__dataclass_fields__", {}).get(parameter.name)
    if known and known.default_factory is not MISSING:
        return msgspec.field(default_factory=known.default_factory)
    return parameter.default
