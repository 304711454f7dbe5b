"""The effect, the same for all candidates: an UPDATE and an INSERT."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models import F

from benchshop.models import Ledger, Stock

# SQL: the ORM's CASE of fifty When() takes longer to build than to run.
_SHIP = """
UPDATE benchshop_stock s SET quantity = s.quantity - shipped.quantity
FROM unnest(%s::bigint[], %s::int[]) shipped (stock, quantity) WHERE s.id = shipped.stock
"""


@dataclass(frozen=True)
class Shipped:
    """Goods shipped of one product."""

    checkout_id: UUID
    stock_id: int
    quantity: int


def sell(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Reduce the stock, and insert a ledger row, in the caller's transaction."""
    Stock.objects.filter(pk=stock_id).update(quantity=F("quantity") - quantity)
    Ledger.objects.create(checkout_id=checkout_id, stock_id=stock_id, quantity=quantity)


def note(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Insert a ledger row only."""
    Ledger.objects.create(checkout_id=checkout_id, stock_id=stock_id, quantity=quantity)


def ship(goods: Sequence[Shipped]) -> None:
    """Write the effects of many: one UPDATE and one INSERT."""
    shipped = Counter[int]()
    for one in goods:
        shipped[one.stock_id] += one.quantity
    with connection.cursor() as cursor:
        cursor.execute(_SHIP, [list(shipped.keys()), list(shipped.values())])
    Ledger.objects.bulk_create(
        Ledger(checkout_id=one.checkout_id, stock_id=one.stock_id, quantity=one.quantity)
        for one in goods
    )
