"""What the context hears."""

from collections import Counter
from dataclasses import dataclass

from benchview import services
from eventbus import consumer


@dataclass(frozen=True)
class Counted:
    """Goods that were counted on a shelf."""

    stock_id: int
    quantity: int


@consumer("benchroom.GoodsCounted", replayable=True, batch=True)
def count(news: list[Counted]) -> None:
    """Add up, and write down the sums."""
    sums = Counter[int]()
    for counted in news:
        sums[counted.stock_id] += counted.quantity
    services.add(sums)
