"""The consumer of the read model."""

from collections import Counter
from dataclasses import dataclass

from benchview import services
from eventbus import consumer


@dataclass(frozen=True)
class Counted:
    """Goods counted of one product."""

    stock_id: int
    quantity: int


@consumer("benchshop.GoodsCounted", replayable=True, batch=True)
def count(news: list[Counted]) -> None:
    """Add the quantities of a batch."""
    sums = Counter[int]()
    for counted in news:
        sums[counted.stock_id] += counted.quantity
    services.add(sums)
