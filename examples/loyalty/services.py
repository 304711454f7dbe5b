"""The actions of loyalty. A consumer, a command or a view calls them."""

from uuid import UUID

from django.db.models import F

from infra.transactions import atomic
from loyalty.models import Balance


@atomic
def add_points(customer_id: UUID, points: int) -> None:
    """Raise the customer's balance."""
    Balance.objects.get_or_create(customer_id=customer_id)
    Balance.objects.filter(customer_id=customer_id).update(points=F("points") + points)
