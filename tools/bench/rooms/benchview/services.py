"""What the room does."""

from django.db.models import F

from benchview.models import Count


def add(stock_id: int, quantity: int) -> None:
    """Count more of a shelf."""
    if not Count.objects.filter(pk=stock_id).update(quantity=F("quantity") + quantity):
        Count.objects.create(pk=stock_id, quantity=quantity)


def empty() -> None:
    """Forget everything, to be told again."""
    Count.objects.all().delete()
