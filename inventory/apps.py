"""Names the context."""

from django.apps import AppConfig


class InventoryConfig(AppConfig):
    """See the package's docstring."""

    name = "inventory"
    default_auto_field = "django.db.models.BigAutoField"
