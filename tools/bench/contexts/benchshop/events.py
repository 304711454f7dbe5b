"""Events of the benchmark, alike but for their consumers."""

from uuid import UUID

from eventbus import Event


class GoodsSold(Event, about="checkout_id"):
    """Goods were sold; the consumer has a key."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str


class GoodsGiven(Event, about="checkout_id"):
    """Goods were given away; the consumer has no key."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str


class GoodsShipped(Event, about="checkout_id"):
    """Goods were shipped; the consumer handles batches."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str


class GoodsCounted(Event, about="checkout_id"):
    """Goods were counted; a read model sums them."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str


class GoodsNoted(Event, about="checkout_id"):
    """Goods were noted; the consumer only inserts."""

    checkout_id: UUID
    stock_id: int
    quantity: int
    note: str
