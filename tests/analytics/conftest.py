"""A bus on which analytics alone listens: what the other contexts would do stays out of it."""

from collections.abc import Sequence

import pytest
from django.db import transaction

from eventbus import Event, publish
from eventbus.models import Subscription
from eventbus.testing import Bus


@pytest.fixture
def tell(bus: Bus):
    """Return what tells news to analytics, in the weather of the test."""
    Subscription.objects.exclude(consumer__startswith="analytics.").delete()

    def told(news: Sequence[Event]) -> None:
        with transaction.atomic():
            for fact in news:
                publish(fact)
        bus.settle()

    return told
