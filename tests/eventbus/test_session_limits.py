"""Time-outs of a server do not end deliveries in one process; web requests keep them."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from eventbus import publish
from eventbus.models import Inbox, Retry
from eventbus.relay.relay import Relay
from eventbus.relay.transports.in_process import Embedded
from eventbus.testing import alone, listening
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

LIMITS = (
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
)


@pytest.fixture(autouse=True)
def _limited() -> Iterator[None]:
    """Give the database time-outs that are shorter than what a delivery waits for."""
    with connection.cursor() as cursor:
        name = connection.ops.quote_name(connection.settings_dict["NAME"])
        for limit in LIMITS:
            cursor.execute(f"ALTER DATABASE {name} SET {limit} TO '200ms'")
        yield
        for limit in LIMITS:
            cursor.execute(f"ALTER DATABASE {name} RESET {limit}")


def sleep() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.4)")


def limits() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT setting FROM pg_settings WHERE name = ANY(%s)", [list(LIMITS)])
        return {setting for (setting,) in cursor.fetchall()}


def in_a_thread(work: Callable[[], object]) -> object:
    def closing() -> object:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(closing).result()


def test_a_call_of_an_external_consumer_may_take_longer_than_the_time_outs() -> None:
    seen: list[set[str]] = []

    def call(sku: str) -> Callable[[], None]:
        sleep()
        connection.close()  # the next one of this thread has no limits either
        seen.append(limits())
        return sleep

    with alone("nobody"), listening(make_consumer(call, external=True)):
        with transaction.atomic():
            publish(ProductRetired(sku="a"))
        transport = Embedded()
        Relay(transport).run_once()
        transport.close()

    assert seen == [{"0"}]
    assert Inbox.objects.exclude(handled_at=None).count() == 1
    assert not Retry.objects.exists()


def test_a_handler_that_closes_the_connection_of_the_relay_meets_no_time_out() -> None:
    seen: list[set[str]] = []

    def listen(sku: str) -> None:
        seen.append(limits())
        if len(seen) == 1:
            connection.close()

    def relay() -> None:
        running = Relay(Embedded())
        running._iterate()

    with alone("nobody"), listening(make_consumer(listen)):
        with transaction.atomic():
            publish(ProductRetired(sku="a"))
            publish(ProductRetired(sku="b"))
        in_a_thread(relay)

    assert len(seen) > 1
    assert set.union(*seen) == {"0"}


def test_another_thread_keeps_the_time_outs() -> None:
    assert in_a_thread(limits) == {"200"}
