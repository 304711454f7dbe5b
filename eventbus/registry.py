"""Registry of consumers, filled by the contexts' `consumers.py`."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from eventbus.errors import BadConsumer, BadPayload
from eventbus.events import Envelope, zoned

Handler = TypeVar("Handler", bound=Callable[..., Any])
Key = str | Callable[..., Iterable[object]] | None
Order = Literal["latest", "strict"]

NEVER_RUN = "the body of a coroutine or generator would never run"

_NEVER_RUN_KINDS = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)

consumers: dict[str, "Consumer"] = {}


@dataclass(frozen=True)
class Consumer:
    """A subscribed function. Its identity, `<context>.<function>`, is stored in rows.

    A function that is renamed keeps the identity under which it was first deployed.
    """

    name: str
    events: tuple[str, ...]
    handle: Callable[..., Any] = field(repr=False)
    payload_type: type[msgspec.Struct] = field(repr=False)
    envelope_parameter: str | None = None
    external: bool = False
    idempotent: bool = True
    key: Key = None
    replayable: bool = False
    order: Order | None = None
    item_type: type | None = None  # of a batch=True consumer: the dataclass its list holds

    @property
    def context(self) -> str:
        """The context; also the name of its queue."""
        return self.name.partition(".")[0]

    def arguments(self, envelope: Envelope) -> dict[str, Any]:
        """Decode an event into the handler's arguments. Raises BadPayload: a retry cannot help."""
        try:
            decoded = msgspec.convert(envelope.payload, self.payload_type)
        except msgspec.ValidationError as error:
            raise BadPayload(name=envelope.name, problem=error) from error
        arguments = msgspec.structs.asdict(decoded)
        if self.envelope_parameter:
            arguments[self.envelope_parameter] = envelope
        return arguments

    def item(self, arguments: Mapping[str, Any]) -> Any:
        """Return the list item of a `batch=True` handler for one event."""
        assert self.item_type
        return self.item_type(**arguments)

    def keys(self, arguments: Mapping[str, Any], aggregate: str = "") -> list[str]:
        """Return the lock names of one event: its stream, if it is ordered, and its keys.

        Without either it is the consumer's name.
        """
        streams = {stream(self.name, aggregate)} if self.order and aggregate else set()
        if self.key is None:
            return sorted(streams or {self.name})
        values = {name: arguments[name] for name in _key_parameters(self.key)}
        keys = values.values() if isinstance(self.key, str) else self.key(**values)
        return sorted(streams | {f"{self.context}/{key}" for key in keys})


def consumer(
    *events: str,
    external: bool = False,
    idempotent: bool = True,
    key: Key = None,
    renamed_from: str | None = None,
    replayable: bool = False,
    batch: bool = False,
    order: Order | None = None,
) -> Callable[[Handler], Handler]:
    """Subscribe a function to one or more events by their wire names.

    Its parameters are the payload fields it needs; an `Envelope` parameter receives the metadata.
    It runs in the transaction that marks the event handled, so its effect happens once.

    external: it calls other systems. It runs in no transaction; a function it returns is run in
        the transaction that marks the event handled. With `idempotent=False` an interrupted call
        is not repeated: the event goes to the dead letters.
    key: a parameter's name, or a function of parameters that returns keys. Events with the same
        key run one after another, others in parallel. Without a key all events of the consumer
        run one after another.
    renamed_from: the name under which it was first deployed, `<context>.<function>`. It stays the
        consumer's identity in tables, logs and commands, so old and new code may run side by side.
    replayable: an operator may deliver handled events again, as a second run ends the same.
    batch: for read models. It takes one list of a dataclass whose fields are the payload fields,
        and is called once for all unhandled events of a message, in order. The events have
        different causes, so `origin()` and `publish` are refused inside it. If it fails, the
        events are delivered one by one, in lists of one: only the failing ones are retried.
    order: within a stream, the events of one aggregate that the consumer subscribes to. "strict":
        an event is handled only after all earlier ones; meanwhile it is parked, also behind a dead
        letter. "latest": an event is skipped if a later one is handled. Without a key the events
        of a stream run one after another, and streams in parallel.

    Raises BadConsumer.
    """

    def subscribe(handle: Handler) -> Handler:
        function = f"{handle.__module__.partition('.')[0]}.{handle.__name__}"
        name = renamed_from or function
        if name.partition(".")[0] != function.partition(".")[0]:
            problem = f"renamed_from={name!r} is of another context, whose queue it would need"
            raise BadConsumer(consumer=function, problem=problem)
        if name in consumers and consumers[name].handle.__code__ is not handle.__code__:
            raise BadConsumer(consumer=name, problem="another consumer has this name")
        if not events:
            raise BadConsumer(consumer=name, problem="it names no event")
        if (batch or order) and external:
            option = "batch=True" if batch else "order="
            problem = f"{option} needs a transaction around the handler, and external=True has none"
            raise BadConsumer(consumer=name, problem=problem)
        if order not in (None, *get_args(Order)):
            raise BadConsumer(consumer=name, problem='order= is "latest" or "strict"')
        consumers[name] = build(
            name,
            handle,
            *events,
            batch=batch,
            external=external,
            idempotent=idempotent,
            key=key,
            replayable=replayable,
            order=order,
        )
        return handle

    return subscribe


def build(
    name: str,
    handle: Callable[..., Any],
    *events: str,
    batch: bool = False,
    key: Key = None,
    **options: Any,
) -> Consumer:
    """Return an unregistered consumer of a function. Raises BadConsumer."""
    if any(is_one(handle) for is_one in _NEVER_RUN_KINDS):
        raise BadConsumer(consumer=name, problem=f"{NEVER_RUN}; make it a plain function")
    item_type = _item_type(name, handle) if batch else None
    payload_type, envelope_parameter = _signature(name, item_type or handle)
    if missing := set(_key_parameters(key)) - set(payload_type.__struct_fields__):
        problem = f"its key names {', '.join(missing)}, which it does not read"
        raise BadConsumer(consumer=name, problem=problem)
    return Consumer(
        name,
        events,
        handle,
        payload_type,
        envelope_parameter,
        key=key,
        item_type=item_type,
        **options,
    )


def stream(consumer: str, aggregate: str) -> str:
    """Return the lock name of an ordered consumer's stream."""
    return f"{consumer}/{aggregate}"


def consumers_of(event: str) -> list[Consumer]:
    """Return the consumers that subscribe to an event."""
    return [consumer for consumer in consumers.values() if event in consumer.events]


@cache
def _key_parameters(key: Key) -> tuple[str, ...]:
    if callable(key):
        return tuple(inspect.signature(key).parameters)
    return (key,) if key else ()


def _item_type(name: str, handle: Callable[..., Any]) -> type:
    """Return the dataclass in the list that a batch handler takes."""
    parameters, hints = inspect.signature(handle).parameters, get_type_hints(handle)
    annotations = [hints.get(parameter) for parameter in parameters]
    if len(annotations) == 1 and get_origin(annotations[0]) in (list, Sequence):
        (item_type,) = get_args(annotations[0])
        if isinstance(item_type, type) and is_dataclass(item_type) and item_type is not Envelope:
            return item_type
    problem = "with batch=True it takes one list of a dataclass with the fields it reads"
    raise BadConsumer(consumer=name, problem=problem)


def _signature(name: str, handle: Callable[..., Any]) -> tuple[type[msgspec.Struct], str | None]:
    hints, envelope_parameter = get_type_hints(handle), None
    fields: list[Any] = []
    for parameter in inspect.signature(handle).parameters.values():
        if parameter.name not in hints:
            raise BadConsumer(consumer=name, problem=f"parameter '{parameter.name}' has no type")
        annotation = zoned(hints[parameter.name])
        if annotation is Envelope:
            envelope_parameter = parameter.name
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, annotation))
        else:
            fields.append((parameter.name, annotation, _default(handle, parameter)))
    return msgspec.defstruct(handle.__name__, fields, kw_only=True), envelope_parameter


def _default(handle: Any, parameter: inspect.Parameter) -> Any:
    known = getattr(handle, "__dataclass_fields__", {}).get(parameter.name)
    if known and known.default_factory is not MISSING:
        return msgspec.field(default_factory=known.default_factory)
    return parameter.default
