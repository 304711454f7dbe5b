"""Times, rates and ratios."""

import statistics
import time
from collections.abc import Callable, Sequence


def timed(do: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def pace(rate: float) -> str:
    """Return a rate as text."""
    return f"{rate:,.0f} events/s"


def ratio(ours: Sequence[float], beside: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: both sides of a round ran under the same load."""
    return statistics.median(a / b for a, b in zip(ours, beside, strict=True))


def quantile(sample: Sequence[float], percent: int) -> float:
    """Return the value below which so many percent of the sample are."""
    ordered = sorted(sample)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
