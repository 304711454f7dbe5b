"""Settings of the conformance test: few and quick attempts, and no probes."""

from tests.processes.settings import *  # noqa: F403
from tests.processes.settings import EVENTBUS

EVENTBUS |= {
    "RETRY_DELAY": 0.1,
    "RETRIES_BEFORE_BACKOFF": 5,
    "MAX_ATTEMPTS": 2,
    "MAX_DELIVERIES": 2,
    "PROBE_AFTER_FAILURES": 1000,
}
