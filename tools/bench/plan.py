"""How much is measured, and how often."""

import json
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Times are seconds. Medians are taken over `repetitions`."""

    repetitions: int = 3
    workers: int = 2  # prefork children, and raw consumers
    events: int = 5_000  # end to end
    carried: int = 10_000  # outbox to broker
    checkouts: int = 300
    listen: float = 15.0  # of each latency, at 20 events/s
    log_rows: int = 1_000_000
    snapshot_seconds: float = 20.0
    embedded: int = 2_000
    clients: int = 16
    only: str = ""

    def wants(self, name: str) -> bool:
        """Whether a row is asked for."""
        return self.only in ("", name)

    def dump(self) -> str:
        """Return the plan for another process."""
        return json.dumps(asdict(self))

    @staticmethod
    def load(text: str) -> "Plan":
        """Read what `dump` wrote."""
        return Plan(**json.loads(text))


QUICK = Plan(
    repetitions=1,
    events=1_000,
    carried=3_000,
    checkouts=100,
    listen=5.0,
    log_rows=50_000,
    snapshot_seconds=4.0,
    embedded=500,
)
USUAL = Plan()
LONG = replace(
    USUAL, repetitions=5, events=10_000, log_rows=5_000_000, snapshot_seconds=120.0, listen=30.0
)
