"""What the context remembers."""

from django.db import models


class Count(models.Model):
    """How much of one shelf."""

    quantity = models.IntegerField(default=0)

    class Meta:
        app_label = "benchview"
