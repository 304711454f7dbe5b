"""The tools as a Django app."""

from django.apps import AppConfig


class ToolsConfig(AppConfig):
    """Commands that look into every context."""

    name = "tools"
