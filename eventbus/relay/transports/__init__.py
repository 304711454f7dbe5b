"""Transports carry messages from the relay to the consumers."""

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
    text: str
    count: int
    suspect: bool = False  # delivered before, as a retry or because it was lost

    @property
    def events(self) -> list[dict[str, Any]]:
        """The decoded events."""
        decoded: list[dict[str, Any]] = msgspec.json.decode(self.text)
        return decoded

    @property
    def queue(self) -> str:
        """The queue of the consumer's context: a slow context delays no other."""
        return self.consumer.partition(".")[0]


class Transport(Protocol):
    """The port of the relay to a broker.

    `in_process` says that messages end with this process, so that on start all dispatches are sent
    again.
    """

    in_process: bool

    def send(self, messages: Sequence[Message]) -> list[int]:
        """Send, and return the dispatches that the broker has confirmed.

        Raises BrokerUnreachable.
        """

    def send_marker(self, queue: str, sent_at: str) -> None:
        """Send a marker (its time in RFC 3339) through a queue. Raises BrokerUnreachable."""

    def close(self) -> None:
        """Finish the deliveries in progress and release connections."""


def transport() -> Transport:
    """Return the transport that EVENTBUS.TRANSPORT names."""
    made: Transport = import_string(conf().TRANSPORT)()
    return made
