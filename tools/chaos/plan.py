"""The plan of a chaos test: faults drawn from shuffled decks, so that each comes equally often."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from infra import failpoints

FAILPOINT = "failpoint "
# Faults that are never injected, with the reason.
EXCLUDED = {
    "failpoint retention": "archiveevents leaves the last day alone, and no test runs so long",
}
# What a handler does wrong, half of the time: `chaosevents.consumers` has each.
MISBEHAVIOURS = (
    "raise",
    "system-exit",
    "cancel",
    "abort",
    "exit",
    "rollback-by-hand",
    "commit-by-hand",
    "set-rollback",
    "close",
    "nul",
    "surrogate",
    "give-up",
    "huge-error",
    "sleep",
    "memory-error",
    "setting",
)
# Faults, and how often each is in a deck. `faults.Injector` has them: a kill by the process's
# name, a failpoint by its own, all others by a method.
FAULTS = {
    "kill relay": 2,
    "kill worker": 2,
    "kill child": 2,
    "kill traffic": 1,
    "freeze relay": 1,
    "empty broker": 1,
    "restart broker": 1,
    "restart database": 1,
    "hold snapshot": 1,
    "poison": 1,
    **{f"misbehave {kind}": 1 for kind in MISBEHAVIOURS},
    "terminate sessions": 1,
    "exhaust connections": 1,
    "deadlocks": 1,
    "slow publisher": 1,
    "fewer contexts": 1,
    "read-only broker": 1,
    "full broker": 1,
    "freeze broker": 1,
    "freeze worker": 1,
    **{name: 1 for point in failpoints.NAMES if (name := FAILPOINT + point) not in EXCLUDED},
}
# Failpoints that no process of the shop reaches: this command of an operator does.
OPERATORS = {
    "dead-letters-retried": ("manage.py", "retrydeadletters", "--yes"),
}


@dataclass(frozen=True)
class Fault:
    """One cycle: a pause, then this fault."""

    name: str
    pause: float  # seconds
    draw: float  # in [0, 1): selects the target

    @property
    def failpoint(self) -> str:
        """The failpoint that is armed, or ""."""
        return self.name.removeprefix(FAILPOINT) if self.name.startswith(FAILPOINT) else ""

    def one_of(self, targets: Sequence[str]) -> str:
        """Select the target."""
        return targets[int(self.draw * len(targets))]


def plan(seed: int, cycles: int, only: Sequence[str] = ()) -> list[Fault]:
    """Return the faults of a run; the same seed makes the same plan."""
    dice = random.Random(seed)
    return list(islice(_faults(dice, list(only) or deck()), cycles))


def deck() -> list[str]:
    """Return one deck: each fault as often as FAULTS has it."""
    return [name for name, times in FAULTS.items() for _ in range(times)]


def _faults(dice: random.Random, names: list[str]) -> Iterator[Fault]:
    while True:
        for name in dice.sample(names, len(names)):
            yield Fault(name, dice.uniform(0.2, 0.8), dice.random())
