"""The arguments of a measurement: plan, broker, folder, progress."""

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

    def log(self, words: str) -> None:
        """Print progress."""
        self.progress(f"{self.on}: {words}")

    def rounds(self, words: str) -> range:
        """Return the repetitions, and print them."""
        self.log(f"{words}, {self.plan.repetitions} times")
        return range(self.plan.repetitions)
