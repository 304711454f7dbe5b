"""Names the context."""

from django.apps import AppConfig


class BenchroomConfig(AppConfig):
    """See the package's docstring."""

    name = "benchroom"
