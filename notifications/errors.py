"""What notifications refuses, and what a channel can answer.

Refusal
├── NotFailed
└── NotKnownYet
TryLater                 no attempt is counted: the message waits
├── ChannelAway          nobody answers; the circuit breaker counts it
└── AskedToWait          somebody answers, and says: not now
GiveUp                   the message has failed
├── Undeliverable        a clear no
├── Unanswered           it may have arrived; the circuit breaker counts it
└── CutOff               it may have arrived; noticed at the next attempt
"""

from eventbus import GiveUp, Refusal, TryLater


class NotFailed(Refusal):
    """Only a message that failed can be sent again; this one is {state}."""

    status = 409


class NotKnownYet(Refusal):
    """The news that you signed up has not come here yet; try again in a moment."""

    status = 404


class ChannelAway(TryLater):
    """{channel} is away; again in {seconds} s: {reason}."""


class AskedToWait(TryLater):
    """{channel} asks to come again in {seconds} s: {reason}."""


class Undeliverable(GiveUp):
    """It cannot be delivered: {reason}."""


class Unanswered(GiveUp):
    """It went over and no answer came, so it may have arrived: {reason}."""


class CutOff(GiveUp):
    """It was cut off while it was handed over, so it may have arrived."""
