"""What the context says."""

from uuid import UUID

from eventbus import Event


class GoodsSold(Event, about="checkout_id"):
    """Goods were sold; who hears it says what it touches."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str


class GoodsGiven(Event, about="checkout_id"):
    """Goods were given away; who hears it does not say what it touches."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str


class GoodsShipped(Event, about="checkout_id"):
    """Goods were shipped; who hears it takes all of a message at once."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str


class GoodsCounted(Event, about="checkout_id"):
    """Goods were counted: what a read model adds up."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str


class GoodsNoted(Event, about="checkout_id"):
    """Goods were noted: who hears it adds a row, and changes none."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str
