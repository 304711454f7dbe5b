"""The port that each channel's adapter implements."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A message as a channel gets it. Two with the same `key` are the same message."""

    key: str
    to: str
    subject: str
    text: str


class Channel(Protocol):
    """An adapter that sends messages."""

    def send(self, message: Outgoing) -> str:
        """Send it once and return the other side's reference. Raises TryLater, GiveUp."""
