"""What the context hears."""

from uuid import UUID

from benchroom import services
from benchroom.services import Shipped
from eventbus import consumer


@consumer("benchroom.GoodsSold", key="stock_id")
def sell(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Events of different shelves may go side by side."""
    services.sell(checkout_id, stock_id, quantity)


@consumer("benchroom.GoodsGiven")
def give(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """All events take turns."""
    services.sell(checkout_id, stock_id, quantity)


@consumer("benchroom.GoodsNoted", key="stock_id")
def note(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Under an old snapshot a row changed a thousand times takes ten times as long to change."""
    services.note(checkout_id, stock_id, quantity)


@consumer("benchroom.GoodsShipped", key="stock_id", batch=True)
def ship(news: list[Shipped]) -> None:
    """A message at once; those of different shelves may go side by side."""
    services.ship(news)
