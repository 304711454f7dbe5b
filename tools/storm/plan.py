"""What happens in a storm: drawn from shuffled decks, so that everything comes about as often."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from eventbus import failpoints

# Each as often as it stands here; besides, each failpoint once.
DECK = (
    "kill relay",
    "kill relay",
    "kill worker",
    "kill worker",
    "kill child",
    "kill child",
    "kill traffic",
    "freeze relay",
    "empty broker",
    "restart broker",
    "restart database",
    "hold snapshot",
    "poison",
)
FAILPOINT = "failpoint "


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


def plan(seed: int, cycles: int, possible: Callable[[str], bool] = bool) -> list[Strike]:
    """Return what a storm of this seed does; the same seed, the same plan."""
    dice = random.Random(seed)
    return list(islice(_strikes(dice, possible), cycles))


def everything() -> list[str]:
    """Return all that can happen."""
    return [*DECK, *(FAILPOINT + name for name in failpoints.NAMES)]


def _strikes(dice: random.Random, possible: Callable[[str], bool]) -> Iterator[Strike]:
    while True:
        deck = [what for what in everything() if possible(what)]
        dice.shuffle(deck)
        for what in deck:
            yield Strike(what, dice.uniform(0.2, 0.8), dice.random())
