"""Names the context."""

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """See the package's docstring."""

    name = "analytics"
    default_auto_field = "django.db.models.BigAutoField"
