"""A bus that delivers to analytics alone."""

from collections.abc import Sequence

import pytest
from django.db import transaction

from eventbus import Event, publish
from eventbus.models import Subscription
from eventbus.testing import Bus


@pytest.fixture
def deliver(bus: Bus):
    """Return a function that publishes events and delivers them to analytics."""
    Subscription.objects.exclude(consumer__startswith="analytics.").delete()

    def publish_and_settle(events: Sequence[Event]) -> None:
        with transaction.atomic():
            for event in events:
                publish(event)
        bus.settle()

    return publish_and_settle
