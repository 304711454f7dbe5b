"""The event that a misspelt name means, for the hints of error messages."""

from collections.abc import Iterable
from itertools import takewhile


def nearest(name: str, published: Iterable[str]) -> str | None:
    """Return the published event that a misspelt name most likely means, if one is near.

    An event of the same context comes first, then the one with the fewest edits.
    """
    context, _, event = name.partition(".")

    def rank(candidate: str) -> tuple[bool, int, int, str]:
        its_context, _, its_event = candidate.partition(".")
        # The common prefix decides between orders.OrderPaid and orders.OrderPlaced: both are two
        # edits from orders.OrderPayed.
        prefix = _common_prefix(event, its_event)
        return its_context != context, _distance(event, its_event), -prefix, candidate

    ranked = [rank(candidate) for candidate in published]
    return min((one for one in ranked if one[1] <= len(event) // 3), default=(None,))[-1]


def _common_prefix(one: str, other: str) -> int:
    equal = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in equal)


def _distance(one: str, other: str) -> int:
    """Return the Levenshtein distance: inserted, deleted and replaced characters."""
    row = list(range(len(other) + 1))
    for i, character in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, other_character in enumerate(other, 1):
            cheapest = min(row[j] + 1, row[j - 1] + 1, diagonal + (character != other_character))
            diagonal, row[j] = row[j], cheapest
    return row[-1]
