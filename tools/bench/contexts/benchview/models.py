"""Table of the read model."""

from django.db import models


class Count(models.Model):
    """The quantity of one product."""

    quantity = models.IntegerField(default=0)

    class Meta:
        app_label = "benchview"
