"""What the room hears."""

from benchview import services
from eventbus import consumer


@consumer("benchroom.GoodsCounted", replayable=True)
def count(stock_id: int, quantity: int) -> None:
    """Add up."""
    services.add(stock_id, quantity)
