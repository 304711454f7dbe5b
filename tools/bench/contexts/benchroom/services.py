"""The effect that everybody who is measured has: an UPDATE and an INSERT."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import F

from benchroom.models import Ledger, Stock

# By hand: fifty When() of the ORM take longer to write down than to run.
_SHIP = """
UPDATE benchroom_stock s SET quantity = s.quantity - gone.quantity
FROM unnest(%s::bigint[], %s::int[]) gone (shelf, quantity) WHERE s.id = gone.shelf
"""


@dataclass(frozen=True)
class Shipped:
    """Goods that left a shelf."""

    checkout_id: UUID
    stock_id: int
    quantity: int


def sell(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Take goods off a shelf, and write it down. The transaction is the caller's."""
    Stock.objects.filter(pk=stock_id).update(quantity=F("quantity") - quantity)
    Ledger.objects.create(checkout_id=checkout_id, stock_id=stock_id, quantity=quantity)


def note(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Write it down, and leave the shelves alone."""
    Ledger.objects.create(checkout_id=checkout_id, stock_id=stock_id, quantity=quantity)


def ship(goods: Sequence[Shipped]) -> None:
    """Have the same effect for many: one UPDATE and one INSERT."""
    gone = Counter[int]()
    for one in goods:
        gone[one.stock_id] += one.quantity
    with connection.cursor() as cursor:
        cursor.execute(_SHIP, [list(gone.keys()), list(gone.values())])
    Ledger.objects.bulk_create(
        Ledger(checkout_id=one.checkout_id, stock_id=one.stock_id, quantity=one.quantity)
        for one in goods
    )
