"""What a storm has to say: a table for people, JSON for machines."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tools.chaos.cluster import End
from tools.chaos.observe import Gauges
from tools.chaos.plan import NOT_STRUCK

EXAMPLES = 30  # of each violation


@dataclass
class Cycle:
    """One strike, and what came of it; all times are seconds."""

    what: str
    happened: bool
    sold: float  # until an order placed after the strike had an answer about its goods
    whole: float  # until that, and everybody who died was back
    struck_at: float
    lost_up_to: int = 0  # the newest message when the broker was emptied
    found_after: float = 0.0  # until the last of those had arrived

    def __str__(self) -> str:
        missed = "" if self.happened else "  (nobody came by)"
        return f"{self.what:<33}{self.sold:>6.1f} s{self.whole:>7.1f} s{missed}"


@dataclass
class Report:
    """All of it."""

    seed: int
    broker: str
    told: str
    cycles: list[Cycle] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)  # when a strike hit, in Unix time
    seconds: float = 0.0
    drain: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    checked: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    ended: list[End] = field(default_factory=list)
    violations: dict[str, list[str]] = field(default_factory=dict)

    @property
    def stood(self) -> bool:
        """Whether nothing was lost, doubled or invented, and no relay gave up.

        A worker may: Celery's own end when its broker is away while it starts. It is replaced.
        """
        return not self.violations and not any("relay" in end.name for end in self.ended)

    def take(self, verdict: dict[str, Any]) -> None:
        """Add what was counted afterwards."""
        self.counts, self.checked = verdict["counts"], verdict["checked"]
        self.dead = verdict["dead"]
        self.violations |= verdict["violations"]

    def look_at_lost(self, gauges: Gauges) -> None:
        """Note when what an emptied broker had lost has arrived after all."""
        for cycle in self.cycles:
            if cycle.lost_up_to and not cycle.found_after and gauges.landed(cycle.lost_up_to):
                cycle.found_after = time.monotonic() - cycle.struck_at

    def json(self) -> dict[str, Any]:
        """Return everything, plain."""
        return {**asdict(self), "stood": self.stood}

    def lines(self) -> Iterator[str]:
        """Return the table."""
        yield f"{len(self.cycles)} cycles, seed {self.seed}, {self.seconds:.0f} s. {self.told}."
        yield ""
        yield f"{'':<45}{'sells again after':>19}{'all back after':>19}"
        yield f"{'what':<33}{'times':>6}{'hit':>6}{'median':>11}{'max':>8}{'median':>11}{'max':>8}"
        for what, cycles in sorted(self._by_kind().items()):
            yield _row(what, cycles)
        yield _row("all", self.cycles)
        who = Counter(end.name for end in self.ended)
        told = "  ".join(f"{name}: {times}" for name, times in who.items())
        yield f"{'ended by itself, started again':<33}{len(self.ended):>6}  {told}".rstrip()
        yield from (f"not struck: {what}: {reason}" for what, reason in NOT_STRUCK.items())
        found = [cycle.found_after for cycle in self.cycles if cycle.found_after]
        if found:
            words = f"median {median(found):.1f} s, max {max(found):.1f} s"
            yield f"what an emptied broker lost had all arrived after: {words}"
        yield f"drained in {self.drain:.0f} s"
        yield ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        yield ""
        for says, looked_at in self.checked.items():
            word = "WRONG" if says in self.violations else "ok"
            yield f"{word:<6}{looked_at:>9,}  {says}"
        yield from map(str, self.ended)
        yield from (f"dead letters: {count} x {kind}" for kind, count in self.dead.items())
        for says, against in self.violations.items():
            yield f"VIOLATED, {len(against)} times: {says}"
            yield from (f"    {example}" for example in against[:EXAMPLES])

    def _by_kind(self) -> dict[str, list[Cycle]]:
        kinds: dict[str, list[Cycle]] = defaultdict(list)
        for cycle in self.cycles:
            kinds[cycle.what].append(cycle)
        return kinds


def _row(what: str, cycles: list[Cycle]) -> str:
    hit = sum(cycle.happened for cycle in cycles)
    sold = [cycle.sold for cycle in cycles] or [0.0]
    whole = [cycle.whole for cycle in cycles] or [0.0]
    times = (median(sold), max(sold), median(whole), max(whole))
    shown = "{:>9.1f} s{:>6.1f} s{:>9.1f} s{:>6.1f} s".format(*times)
    return f"{what:<33}{len(cycles):>6}{hit:>6}{shown}"
