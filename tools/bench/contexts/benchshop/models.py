"""Tables of the benchmark."""

from django.db import models
from django.db.models.functions import Now


class Checkout(models.Model):
    """The published change: a latency begins with its commit."""

    id = models.UUIDField(primary_key=True)

    class Meta:
        app_label = "benchshop"


class Stock(models.Model):
    """The stock of a product."""

    quantity = models.IntegerField()

    class Meta:
        app_label = "benchshop"


class Ledger(models.Model):
    """An effect: a latency ends with its commit."""

    checkout_id = models.UUIDField()
    stock_id = models.IntegerField()
    quantity = models.IntegerField()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        app_label = "benchshop"


class Seen(models.Model):
    """The inbox of the raw loop."""

    event_id = models.UUIDField(primary_key=True)

    class Meta:
        app_label = "benchshop"
