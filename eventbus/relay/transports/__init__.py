"""The ways a message goes from the relay to a consumer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from django.utils.module_loading import import_string

from eventbus.conf import conf


@dataclass(frozen=True)
class Message:
    """The id of a dispatch, its consumer, and its events as a CloudEvents JSON batch."""

    dispatch: int
    consumer: str
    wire: str
    count: int
    suspect: bool = False  # delivered before, as a retry or because it was lost

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events, read."""
        read: list[dict[str, Any]] = msgspec.json.decode(self.wire)
        return read

    @property
    def queue(self) -> str:
        """Each context has its own queue, so that a slow one delays nobody else."""
        return self.consumer.partition(".")[0]


class Transport(Protocol):
    """What the relay needs of a broker.

    `in_process` says that messages die with this process, so that on start all dispatches go again.
    """

    in_process: bool

    def send(self, messages: Sequence[Message]) -> list[int]:
        """Send, and return the dispatches the broker has confirmed. Raises BrokerAway."""

    def send_marker(self, queue: str, sent_at: str) -> None:
        """Send a tick (RFC 3339) through a queue. Raises BrokerAway."""

    def close(self) -> None:
        """Finish what is under way."""


def transport() -> Transport:
    """Return the transport that EVENTBUS.TRANSPORT names."""
    made: Transport = import_string(conf().TRANSPORT)()
    return made
