"""Names the context."""

from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    """See the package's docstring."""

    name = "payments"
    default_auto_field = "django.db.models.BigAutoField"
