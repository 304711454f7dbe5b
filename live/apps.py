"""Names the app."""

from django.apps import AppConfig


class LiveConfig(AppConfig):
    """See the package's docstring."""

    name = "live"
    verbose_name = "Live settings"
    default_auto_field = "django.db.models.BigAutoField"
