"""Names the app."""

from django.apps import AppConfig


class RuntimeSettingsConfig(AppConfig):
    """See the package's docstring."""

    name = "infra.runtime_settings"
    verbose_name = "Runtime settings"
    default_auto_field = "django.db.models.BigAutoField"
