"""What happens in a storm: drawn from shuffled decks, so that everything comes about as often."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from infra import failpoints

FAILPOINT = "failpoint "
# What cannot be struck, and why.
NOT_STRUCK = {
    "failpoint retention": "a storm's log is younger than the day that archiveevents leaves alone",
}
# What can be struck, and how often in a deck: one more line is one more thing that happens.
# `strikes` does it: a kill by the process's name, a failpoint by its own, all else by a method.
TABLE = {
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
    **{what: 1 for name in failpoints.NAMES if (what := FAILPOINT + name) not in NOT_STRUCK},
}
# Failpoints that no process of the shop comes by: an operator with this command does.
OPERATORS = {
    "dead-letters-retried": ("manage.py", "retrydeadletters", "--yes"),
}


@dataclass(frozen=True)
class Strike:
    """One cycle: so long a calm, and then this."""

    what: str
    calm: float  # seconds
    lot: float  # in [0, 1): decides whom it hits

    @property
    def failpoint(self) -> str:
        """The failpoint that is armed, if one is."""
        return self.what.removeprefix(FAILPOINT) if self.what.startswith(FAILPOINT) else ""

    def one_of(self, those: Sequence[str]) -> str:
        """Choose whom it hits."""
        return those[int(self.lot * len(those))]


def plan(seed: int, cycles: int, only: Sequence[str] = ()) -> list[Strike]:
    """Return what a storm of this seed does; the same seed, the same plan."""
    dice = random.Random(seed)
    return list(islice(_strikes(dice, list(only) or everything()), cycles))


def everything() -> list[str]:
    """Return one deck of all that can happen."""
    return [what for what, times in TABLE.items() for _ in range(times)]


def _strikes(dice: random.Random, deck: list[str]) -> Iterator[Strike]:
    while True:
        for what in dice.sample(deck, len(deck)):
            yield Strike(what, dice.uniform(0.2, 0.8), dice.random())
