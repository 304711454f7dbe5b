"""The attic's one table."""

from django.apps import AppConfig


class IdempotencyConfig(AppConfig):
    """See the package's docstring."""

    name = "edge.idempotency"
