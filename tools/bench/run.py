"""What a measurement is given: how much, on what, and whom to tell."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.bench.plan import Plan


@dataclass(frozen=True)
class Run:
    """One run on one broker."""

    plan: Plan
    on: str
    folder: Path
    progress: Callable[[str], None]

    def say(self, words: str) -> None:
        """Tell whoever waits."""
        self.progress(f"{self.on}: {words}")

    def rounds(self, words: str) -> range:
        """Return the repetitions."""
        self.say(f"{words}, {self.plan.repetitions} times")
        return range(self.plan.repetitions)
