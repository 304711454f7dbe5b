"""Sizes and repetitions of the measurements."""

import json
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Times are seconds. Medians are taken over `repetitions`."""

    repetitions: int = 3
    workers: int = 2  # prefork children, and raw consumers
    events: int = 5_000  # end to end
    sent: int = 10_000  # outbox to broker
    checkouts: int = 300
    latency_seconds: float = 15.0  # of each latency, at 20 events/s
    log_rows: int = 1_000_000
    snapshot_seconds: float = 20.0
    embedded: int = 2_000
    clients: int = 16
    only: str = ""

    def wants(self, name: str) -> bool:
        """Whether the measurement is selected."""
        return self.only in ("", name)

    def dump(self) -> str:
        """Return the plan for another process."""
        return json.dumps(asdict(self))

    @staticmethod
    def load(text: str) -> "Plan":
        """Return the plan from the text of `dump`."""
        return Plan(**json.loads(text))


QUICK = Plan(
    repetitions=1,
    events=1_000,
    sent=3_000,
    checkouts=100,
    latency_seconds=5.0,
    log_rows=50_000,
    snapshot_seconds=4.0,
    embedded=500,
)
USUAL = Plan()
LONG = replace(
    USUAL,
    repetitions=5,
    events=10_000,
    log_rows=5_000_000,
    snapshot_seconds=120.0,
    latency_seconds=30.0,
)
