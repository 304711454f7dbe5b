"""The effect that everybody who is measured has: an UPDATE and an INSERT."""

from uuid import UUID

from django.db.models import F

from benchroom.models import Ledger, Stock


def sell(checkout_id: UUID, stock_id: int, quantity: int) -> None:
    """Take goods off a shelf, and write it down. The transaction is the caller's."""
    Stock.objects.filter(pk=stock_id).update(quantity=F("quantity") - quantity)
    Ledger.objects.create(checkout_id=checkout_id, stock_id=stock_id, quantity=quantity)
