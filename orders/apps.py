"""Names the context."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """See the package's docstring."""

    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"
