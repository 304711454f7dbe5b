"""The result of a chaos test: a table for people, JSON for programs."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tools.chaos.cluster import UnexpectedExit
from tools.chaos.observe import Observer
from tools.chaos.plan import not_injected

EXAMPLES = 30  # of each violation
TIMEOUTS = {
    True: "Time-outs of the bus and of Celery: the defaults; those of the shop's trade are short.",
    False: (
        "Shortened time-outs (default): SEND_DEADLINE 2 (30), LOST_AFTER 18 (310), MARKER_INTERVAL"
        " 2 (10), LEASE_SECONDS 9 (160), MAX_RETRY_DELAY 4 (300), PROBE_INTERVAL 1 (5), time limits"
        " 6 and 8 s, visibility time-out 10 s; those of the shop's trade, too."
    ),
}


@dataclass
class Cycle:
    """One fault, and the recovery from it; all times are seconds."""

    fault: str
    happened: bool
    sold: float  # until an order placed after the fault had its goods, or was cancelled
    recovered: float  # until that, and all processes were ready
    injected_at: float
    lost_up_to: int = 0  # the newest dispatch when the broker was emptied
    resent_after: float = 0.0  # until none of those was left

    def __str__(self) -> str:
        missed = "" if self.happened else "  (not reached)"
        return f"{self.fault:<33}{self.sold:>6.1f} s{self.recovered:>7.1f} s{missed}"


@dataclass
class Report:
    """All cycles, counts and violations of a run."""

    seed: int
    setup: str  # the broker; the database where there is none
    description: str
    cycles: list[Cycle] = field(default_factory=list)
    fault_times: list[float] = field(default_factory=list)  # in Unix time
    default_timeouts: bool = False
    seconds: float = 0.0
    drain: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    dead_letters: dict[str, int] = field(default_factory=dict)
    unexpected_exits: list[UnexpectedExit] = field(default_factory=list)
    violations: dict[str, list[str]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no check was violated, and neither relay nor shop ended by itself."""
        # A worker may end by itself: Celery gives up where its broker is away during its start.
        return not self.violations and not any(
            exit.name.startswith(("relay", "shop")) for exit in self.unexpected_exits
        )

    def add(self, results: dict[str, Any]) -> None:
        """Add the results of the checks."""
        self.counts, self.checked = results["counts"], results["checked"]
        self.dead_letters = results["dead_letters"]
        self.violations |= results["violations"]

    def note_resent(self, observer: Observer) -> None:
        """Record when all messages lost in an emptied broker had been resent."""
        for cycle in self.cycles:
            lost = cycle.lost_up_to and not cycle.resent_after
            if lost and observer.delivered_up_to(cycle.lost_up_to):
                cycle.resent_after = time.monotonic() - cycle.injected_at

    def json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "passed": self.passed}

    def lines(self) -> Iterator[str]:
        """Yield the table."""
        about = f"{len(self.cycles)} cycles, seed {self.seed}, {self.seconds:.0f} s"
        yield f"{about}. {self.description}."
        yield TIMEOUTS[self.default_timeouts]
        yield ""
        yield f"{'':<45}{'sells again after':>19}{'all ready after':>19}"
        columns = ("fault", "times", "hit", "median", "max", "median", "max")
        yield "{:<33}{:>6}{:>6}{:>11}{:>8}{:>11}{:>8}".format(*columns)
        for fault, cycles in sorted(self._by_fault().items()):
            yield _row(fault, cycles)
        yield _row("all", self.cycles)
        exits = Counter(exit.name for exit in self.unexpected_exits)
        by_name = "  ".join(f"{name}: {times}" for name, times in exits.items())
        yield f"{'ended by itself, restarted':<33}{exits.total():>6}  {by_name}".rstrip()
        yield from (
            f"not injected: {fault}: {reason}" for fault, reason in not_injected(self.setup).items()
        )
        resent = [cycle.resent_after for cycle in self.cycles if cycle.resent_after]
        if resent:
            times = f"median {median(resent):.1f} s, max {max(resent):.1f} s"
            yield f"all messages of an emptied broker were resent and handled after: {times}"
        yield f"drained in {self.drain:.0f} s"
        yield ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        yield ""
        for claim, checked in self.checked.items():
            word = "WRONG" if claim in self.violations else "ok"
            yield f"{word:<6}{checked:>9,}  {claim}"
        yield from map(str, self.unexpected_exits)
        yield from (f"dead letters: {count} x {kind}" for kind, count in self.dead_letters.items())
        for claim, violations in self.violations.items():
            yield f"VIOLATED, {len(violations)} times: {claim}"
            yield from (f"    {example}" for example in violations[:EXAMPLES])

    def _by_fault(self) -> dict[str, list[Cycle]]:
        by_fault: dict[str, list[Cycle]] = defaultdict(list)
        for cycle in self.cycles:
            by_fault[cycle.fault].append(cycle)
        return by_fault


def _row(name: str, cycles: list[Cycle]) -> str:
    hit = sum(cycle.happened for cycle in cycles)
    sold = [cycle.sold for cycle in cycles] or [0.0]
    recovered = [cycle.recovered for cycle in cycles] or [0.0]
    times = (median(sold), max(sold), median(recovered), max(recovered))
    shown = "{:>9.1f} s{:>6.1f} s{:>9.1f} s{:>6.1f} s".format(*times)
    return f"{name:<33}{len(cycles):>6}{hit:>6}{shown}"
