"""What the context remembers."""

from django.db import models
from django.db.models.functions import Now


class Checkout(models.Model):
    """The change that is told of: its commit is where a latency begins."""

    id = models.UUIDField(primary_key=True)

    class Meta:
        app_label = "benchroom"


class Stock(models.Model):
    """One of a hundred shelves."""

    quantity = models.IntegerField()

    class Meta:
        app_label = "benchroom"


class Ledger(models.Model):
    """One effect; its commit is where a latency ends."""

    checkout_id = models.UUIDField()
    stock_id = models.IntegerField()
    quantity = models.IntegerField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        app_label = "benchroom"


class Seen(models.Model):
    """The inbox of the raw loop."""

    event_id = models.UUIDField(primary_key=True)

    class Meta:
        app_label = "benchroom"
