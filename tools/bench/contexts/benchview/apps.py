"""Names the context."""

from django.apps import AppConfig


class BenchviewConfig(AppConfig):
    """See the package's docstring."""

    name = "benchview"
