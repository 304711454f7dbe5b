"""The rows of loyalty: one balance for each customer."""

from django.db import models


class Balance(models.Model):
    """The points of a customer. Other contexts know the customer by the same UUID."""

    customer_id = models.UUIDField(primary_key=True)
    points = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.points} points"
