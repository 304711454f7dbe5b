"""A full disk is no fault of an event: its delivery waits for space, and counts no attempt."""

from collections.abc import Callable

import pytest
from django.db import connection, transaction

from eventbus import publish
from eventbus.models import DeadLetter, Inbox, Retry
from eventbus.testing import Bus, listening
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

pytestmark = pytest.mark.django_db(transaction=True)

# What PostgreSQL raises when it cannot extend a file, raised by the server itself.
RAISE_FULL = "DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$"


def write_to_a_full_disk(sku: str) -> None:
    """Write more than the database may hold."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(RAISE_FULL)
            return
        cursor.execute("PRAGMA max_page_count")
        (limit,) = cursor.fetchone()
        try:
            cursor.execute("PRAGMA max_page_count = 1")  # that is: the present size
            cursor.execute("CREATE TABLE too_large (data)")
            cursor.execute("INSERT INTO too_large VALUES (zeroblob(1000000))")
        finally:
            cursor.execute(f"PRAGMA max_page_count = {limit}")


def write_and_explain(sku: str) -> None:
    """Fail with an error of its own, which the full disk has caused."""
    try:
        write_to_a_full_disk(sku)
    except Exception as error:
        raise RuntimeError("not written") from error


@pytest.mark.parametrize("handle", [write_to_a_full_disk, write_and_explain])
def test_a_delivery_that_fails_on_a_full_disk_counts_no_attempt(
    handle: Callable[[str], None],
) -> None:
    with listening(make_consumer(handle)):
        bus = Bus()
        with transaction.atomic():
            publish(ProductRetired(sku="teapot"))
        bus.settle(allow_failures=True, until=Retry.objects.exists)
        retry = Retry.objects.get(consumer__endswith=handle.__name__)
        assert retry.attempts == 0
        assert "space" in retry.error or "full" in retry.error
        assert not DeadLetter.objects.exists()
        assert not Inbox.objects.filter(consumer=retry.consumer).exists()
