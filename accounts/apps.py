"""Names the context."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """See the package's docstring."""

    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"
