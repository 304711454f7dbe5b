"""Refusals of notifications, and failures of a channel.

Refusal
├── NotFailed
└── NotKnownYet
TryLater                 no attempt is counted: the message stays queued
├── ChannelUnavailable   no answer, or an error of the provider itself; counts in the breaker
└── Deferred             the channel answered: try again later
GiveUp                   the message has failed
├── Undeliverable        the channel refused the message for good
├── Unanswered           no answer after the handover: it may have arrived; counts in the breaker
└── Interrupted          the process died during the handover: it may have arrived
"""

from eventbus import GiveUp, Refusal, TryLater


class NotFailed(Refusal):
    """Only a message that failed can be sent again; this one is {state}."""

    status = 409


class NotKnownYet(Refusal):
    """Your sign-up has not been processed here yet; try again in a moment."""

    status = 404


class ChannelUnavailable(TryLater):
    """{channel} is unavailable; trying again in {seconds} s: {reason}."""


class Deferred(TryLater):
    """{channel} deferred the message; trying again in {seconds} s: {reason}."""


class Undeliverable(GiveUp):
    """It cannot be delivered: {reason}."""


class Unanswered(GiveUp):
    """It was handed over, but no answer came, so it may have arrived: {reason}."""


class Interrupted(GiveUp):
    """Sending was interrupted, so it may have arrived."""
