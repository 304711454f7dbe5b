"""The errors of the bus. `infra.errors` has `Refusal` and `TryLater`, which a context raises.

Explained
└── EventBusError
    ├── NotInTransaction
    ├── BadPayload
    ├── UnknownConsumer
    ├── NotPaused
    ├── NotParked
    ├── NotSubscribed
    ├── StillSubscribed
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
    ├── BrokerUnreachable
    ├── HandlerExited         a handler raised SystemExit, CancelledError or the like
    ├── TransactionBroken     a handler left its transaction so that it cannot commit
    └── GiveUp                raised by a consumer: the event goes to the dead letters at once
        ├── OutcomeUnknown    an external call was interrupted and must not be repeated
        ├── ManyCauses        a batch consumer tried to publish
        ├── TransactionEnded  a handler ended its transaction by hand
        ├── TransactionLeftOpen   an external handler left a transaction open
        ├── SubscriptionEnded
        ├── LaterEventsArchived   whether a later event of the stream is handled is unknown
        └── WorkerKilled      the event killed its worker too often
TryLater
└── NoCodeHere                a message for a consumer that this process does not have

The docstring of an error is its message; the words in braces are its fields.
"""

from infra.errors import Explained, TryLater


class EventBusError(Explained):
    """The bus cannot do this."""


class NotInTransaction(EventBusError):
    """{name} was published outside a transaction: a change and its events must commit together.
    Wrap the service in @transaction.atomic."""


class BadPayload(EventBusError):
    """{name} does not match its contract: {problem}."""


class UnknownConsumer(EventBusError):
    """No consumer is called {consumer} here.
    If it was renamed, declare renamed_from="{consumer}" on the new one."""


class NoCodeHere(TryLater):
    """No code in this process handles {event} for {consumer}; again in {seconds} s.
    Another version of the code may have it. If it was renamed, declare renamed_from="{consumer}".
    If it was removed for good, end its subscription: manage.py endsubscription {consumer}"""


class NotPaused(EventBusError):
    """{name} is not paused. manage.py pauseconsumer without a name lists those that are."""


class NotParked(EventBusError):
    """No event of {aggregate} waits for an earlier one to be handled by {consumer}.
    manage.py parkedevents lists the streams that wait."""


class NotSubscribed(EventBusError):
    """{consumer} has no subscription{event} that could be ended.
    manage.py subscriptions lists them."""


class StillSubscribed(EventBusError):
    """{consumer} still subscribes to {events} in this code, which would begin anew at once.
    Remove it from the code of all processes, then end the subscription."""


class BadConsumer(EventBusError):
    """{consumer} cannot subscribe: {problem}."""


class ContractsBroken(EventBusError):
    """Contexts and contracts disagree, so nothing is started:
    {problems}"""


class ContractShrank(EventBusError):
    """The contract of {name} may only grow: {problem}.
    A change that breaks readers is a new event with a new name; publish both for a while."""


class NotInstalled(EventBusError):
    """{name} cannot be checked: the context that publishes it is not installed in this process.
    Edit the payload where it is installed."""


class NotInLog(EventBusError):
    """Event {event} is no longer in the log, so it cannot be delivered."""


class NeedsReason(EventBusError):
    """A reason or note is required: it is kept in the audit record."""


class CannotReplay(EventBusError):
    """Events cannot be replayed to {consumer}: {reason}."""


class CannotRebuild(EventBusError):
    """{context} cannot be rebuilt: {reason}."""


class CannotArchive(EventBusError):
    """The log was not archived: {reason}."""


class CannotRestore(EventBusError):
    """{file} was not restored: {reason}."""


class InArchive(EventBusError):
    """{events} events of that time are archived, the last one recorded at {until}.
    Restore them first: manage.py restoreevents {files}"""


class LogBusy(EventBusError):
    """Another archive, restore, replay or rebuild is running. Try again when it has ended."""


class BrokerUnreachable(EventBusError):
    """The broker does not take messages: {reason}. Nothing is lost; the relay keeps trying."""


class HandlerExited(EventBusError):
    """{consumer} raised {error}, which is not an Exception: it would end the thread or process.
    Raise an Exception to fail a delivery."""


class TransactionBroken(EventBusError):
    """{consumer} returned with its transaction {how}, so nothing of it was saved.
    Undo a part in a transaction.atomic() of its own, and leave the connection to the bus."""


class GiveUp(EventBusError):
    """This cannot get better: {reason}."""


class OutcomeUnknown(GiveUp):
    """{consumer} was interrupted during an external call that must not be repeated ({reason})."""


class ManyCauses(GiveUp):
    """{consumer} handles many events at once, so its changes have no single origin and it cannot
    publish. Without batch=True it receives one event at a time."""


class TransactionEnded(GiveUp):
    """{consumer} ended its transaction by COMMIT or ROLLBACK: a part of its effect may be saved.
    Remove that statement, compare the effect with the event, then retry or discard it."""


class TransactionLeftOpen(GiveUp):
    """{consumer} made its call and left a transaction open, so its writes in that are undone.
    Write in the function that it returns; compare with the other system, then retry or discard."""


class LaterEventsArchived(GiveUp):
    """Event {event} is older than events in the archive {file}, and its consumer takes the latest
    of a stream only. Restore it (manage.py restoreevents) and retry, or discard this event."""


class SubscriptionEnded(GiveUp):
    """The subscription of {consumer} to {event} was ended before this event was handled."""


class WorkerKilled(GiveUp):
    """{consumer} was started {deliveries} times and never ended: it seems to kill its worker."""
