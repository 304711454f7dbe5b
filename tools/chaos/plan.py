"""The plan of a chaos test: faults drawn from shuffled decks, so that each comes equally often."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from infra import failpoints

FAILPOINT = "failpoint "
# Faults that are never injected, with the reason.
EXCLUDED = {
    "failpoint month-emptied": "archiveevents leaves this month alone, and no test runs so long",
    "failpoint retention": "archiveevents leaves the last day alone, and no test runs so long",
}
# What a handler does wrong, at the first delivery: `chaosevents.consumers` has each.
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
ANYWHERE = {
    "kill traffic": 1,
    "hold snapshot": 1,
    "lock database": 1,
    "full disk": 1,
    "poison": 1,
    **{f"misbehave {kind}": 1 for kind in MISBEHAVIOURS},
    "fewer contexts": 1,
    "renamed consumer": 1,
    **{name: 1 for point in failpoints.NAMES if (name := FAILPOINT + point) not in EXCLUDED},
}
POSTGRES = {
    "restart database": 1,
    "terminate sessions": 1,
    "exhaust connections": 1,
    "deadlocks": 1,
    "slow publisher": 1,
}
IN_ONE_PROCESS = {"kill shop": 6, "freeze shop": 2}
WITH_WORKERS = {
    "kill relay": 2,
    "kill worker": 2,
    "kill child": 2,
    "freeze relay": 1,
    "freeze worker": 1,
    "empty broker": 1,
    "restart broker": 1,
    "read-only broker": 1,
    "full broker": 1,
    "freeze broker": 1,
}
FAULTS = WITH_WORKERS | IN_ONE_PROCESS | ANYWHERE | POSTGRES
# The faults of a broker, and of a database that has no broker beside it.
DECKS = {
    "valkey": WITH_WORKERS | ANYWHERE | POSTGRES,
    "rabbitmq": WITH_WORKERS | ANYWHERE | POSTGRES,
    "postgresql": IN_ONE_PROCESS | ANYWHERE | POSTGRES,
    "sqlite": IN_ONE_PROCESS | ANYWHERE,
}
EMBEDDED = ("sqlite", "postgresql")
_OTHERS = "other programs may use this RabbitMQ"
NOT_INJECTED = {
    "rabbitmq": dict.fromkeys(("read-only broker", "full broker", "freeze broker"), _OTHERS),
    "sqlite": {
        "misbehave setting": "SQLite's pragmas outlive a handler; no promise speaks of them"
    },
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


def plan(seed: int, cycles: int, setup: str, only: Sequence[str] = ()) -> list[Fault]:
    """Return the faults of a run; the same seed makes the same plan."""
    dice = random.Random(seed)
    return list(islice(_faults(dice, list(only) or deck(setup)), cycles))


def deck(setup: str) -> list[str]:
    """Return one deck: each fault that is injected, as often as the setup's deck has it."""
    missing = NOT_INJECTED.get(setup, {})
    faults = {name: times for name, times in DECKS[setup].items() if name not in missing}
    return [name for name, times in faults.items() for _ in range(times)]


def not_injected(setup: str) -> dict[str, str]:
    """Return faults that are never injected there, with the reasons."""
    return EXCLUDED | NOT_INJECTED.get(setup, {})


def _faults(dice: random.Random, names: list[str]) -> Iterator[Fault]:
    while True:
        for name in dice.sample(names, len(names)):
            yield Fault(name, dice.uniform(0.2, 0.8), dice.random())
