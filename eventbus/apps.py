"""Finds what the contexts say and hear."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class EventBusConfig(AppConfig):
    """The cellar."""

    name = "eventbus"
    verbose_name = "Event bus"

    def ready(self) -> None:
        """Read every context's events and consumers, and keep the subscriptions current."""
        from eventbus import checks  # noqa: F401

        autodiscover_modules("events", "consumers")
        post_migrate.connect(_subscribe, sender=self)


def _subscribe(**kwargs: Any) -> None:
    from eventbus.relay import subscriptions

    subscriptions.sync()
