"""The app of the stored responses."""

from django.apps import AppConfig


class IdempotencyConfig(AppConfig):
    """The only table of the edge."""

    name = "edge.idempotency"
