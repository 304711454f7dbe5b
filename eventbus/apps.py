"""The app: loads the contexts' events and consumers."""

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

from infra import database_session


class EventBusConfig(AppConfig):
    """The event bus."""

    name = "eventbus"
    verbose_name = "Event bus"

    def ready(self) -> None:
        """Import every context's events and consumers; prepare the tables after each migrate."""
        from eventbus import checks  # noqa: F401

        autodiscover_modules("events", "consumers")
        post_migrate.connect(_prepare_tables, sender=self)
        connection_created.connect(database_session.set_up)


def _prepare_tables(**kwargs: Any) -> None:
    from eventbus.operations import months
    from eventbus.relay import subscriptions

    subscriptions.sync()
    months.make_ahead()
