"""What the bus refuses, and how a room says no.

Exception
├── Refusal                   a room's own no: every rule of the shop that can be broken is one
└── EventBusError
    ├── NotInTransaction
    ├── BadPayload
    ├── UnknownConsumer
    ├── BadConsumer
    ├── ContractsBroken
    ├── ContractShrank
    ├── NotInstalled
    ├── NotInLog
    ├── NeedsReason
    ├── CannotReplay
    ├── CannotRebuild
    ├── CannotArchive
    ├── CannotRestore
    ├── InArchive
    ├── LogBusy
    ├── BrokerAway
    ├── TryLater              a consumer's word: the other side is away, no attempt is counted
    │   └── Away              said by the circuit breaker
    ├── GiveUp                a consumer's word: this cannot get better
    ├── OutcomeUnknown        a call may have happened and cannot safely be repeated
    ├── ManyCauses            what handles many events at once has nothing to say
    └── WorkerKilled          whoever handles it dies

The docstring of an error is its message; the words in braces are its fields.
"""

import inspect
from typing import Any, ClassVar


class Explained(Exception):
    """An error whose message is its docstring, filled in with its fields."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        super().__init__(inspect.cleandoc(type(self).__doc__ or "").format(**fields))

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.fields)

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(name)


def _rebuild(kind: type[Explained], fields: dict[str, Any]) -> Explained:
    return kind(**fields)


class Refusal(Explained):
    """This cannot be done."""

    status: ClassVar[int] = 409
    field: str = ""  # the request's field that is to blame, if one is

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.field = fields.get("field", type(self).field)


class EventBusError(Explained):
    """The bus cannot do this."""


class NotInTransaction(EventBusError):
    """{name} was published outside a transaction: the change and its news must commit together.
    Wrap the service in @transaction.atomic."""


class BadPayload(EventBusError):
    """{name} does not keep its own contract: {problem}."""


class UnknownConsumer(EventBusError):
    """No consumer is called {consumer} here. If it was renamed, declare was="{consumer}"."""


class BadConsumer(EventBusError):
    """{consumer} cannot subscribe: {problem}."""


class ContractsBroken(EventBusError):
    """The rooms misunderstand each other, so nothing is started:
    {problems}"""


class ContractShrank(EventBusError):
    """The contract of {name} may only grow: {problem}.
    A change that breaks readers is a new fact with a new name; publish both for a while."""


class NotInstalled(EventBusError):
    """{name} cannot be checked, as the room that says it is not installed here: edit it there."""


class NotInLog(EventBusError):
    """Event {event} is not in the log any more, so it cannot be delivered."""


class NeedsReason(EventBusError):
    """Say it in words: those who come after will want to know."""


class CannotReplay(EventBusError):
    """{consumer} cannot be told again: {reason}."""


class CannotRebuild(EventBusError):
    """{room} cannot be rebuilt: {reason}."""


class CannotArchive(EventBusError):
    """The log was not archived: {reason}."""


class CannotRestore(EventBusError):
    """{file} was not restored: {reason}."""


class InArchive(EventBusError):
    """{events} events of that time are not in the log but in archives, the last of them of {until}.
    Bring them back first: manage.py restoreevents {files}"""


class LogBusy(EventBusError):
    """Somebody archives, restores, replays or rebuilds just now: try again when that has ended."""


class BrokerAway(EventBusError):
    """The broker does not take messages: {reason}. Nothing is lost; the relay keeps trying."""


class TryLater(EventBusError):
    """Not now; again in {seconds} s: {reason}."""


class Away(TryLater):
    """{reason} is away; again in {seconds} s."""


class GiveUp(EventBusError):
    """This cannot get better: {reason}."""


class OutcomeUnknown(GiveUp):
    """{consumer} was cut off while calling outside, and may not simply be repeated ({reason})."""


class ManyCauses(GiveUp):
    """{consumer} handles many events at once, so what it does has no one origin and it cannot
    publish. Without batch=True it is told one at a time."""


class WorkerKilled(GiveUp):
    """{consumer} was begun {deliveries} times and never ended: it seems to kill its worker."""
