"""Names the context."""

from django.apps import AppConfig


class HazardsConfig(AppConfig):
    """See the package's docstring."""

    name = "hazards"
