"""Test helpers for authors of consumers.

`hear` delivers an event that fits its contract, `said` returns the published events, and `Bus`
runs the whole bus in one thread, in order, everything twice, or shuffled.
"""

from eventbus.testing.bus import Bus, InMemoryTransport, hear, said
from eventbus.testing.payloads import payload_for
from eventbus.testing.subscribing import alone, listening, without

__all__ = [
    "Bus",
    "InMemoryTransport",
    "alone",
    "hear",
    "listening",
    "payload_for",
    "said",
    "without",
]
