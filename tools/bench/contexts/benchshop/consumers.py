"""Consumers that differ in key and batch only."""

from uuid import UUID

from benchshop import services
from benchshop.services import Shipped
from eventbus import consumer


@consumer("benchshop.GoodsSold", key="stock_id")
def sell(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Events of different products run in parallel."""
    services.sell(checkout_id, stock_id, quantity)


@consumer("benchshop.GoodsGiven")
def give(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """All events run one after the other."""
    services.sell(checkout_id, stock_id, quantity)


@consumer("benchshop.GoodsNoted", key="stock_id")
def note(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Insert only: under an old snapshot, updates of a row get slower with each one."""
    services.note(checkout_id, stock_id, quantity)


@consumer("benchshop.GoodsShipped", key="stock_id", batch=True)
def ship(news: list[Shipped]) -> None:
    """Events of a message are handled together."""
    services.ship(news)
