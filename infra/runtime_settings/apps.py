"""The app."""

from django.apps import AppConfig


class RuntimeSettingsConfig(AppConfig):
    """The app of the history and its admin pages."""

    name = "infra.runtime_settings"
    verbose_name = "Runtime settings"
    default_auto_field = "django.db.models.BigAutoField"
