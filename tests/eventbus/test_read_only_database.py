"""Some hosts make a database read-only while its disk is full: events wait for it."""

from collections.abc import Callable, Iterator

import pytest
from django.db import DatabaseError, connection, transaction

from eventbus import publish
from eventbus.consuming.delivery import deliver
from eventbus.models import Inbox, Retry
from eventbus.relay import subscriptions
from eventbus.relay.relay import Relay
from eventbus.testing import InMemoryTransport, alone, listening
from infra.database_errors import is_unreachable
from orders.events import ProductRetired
from tests.eventbus.consumers import make_consumer

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def alter_role(change: str) -> None:
    """Change the defaults of this role in this database, and connect anew."""
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only TO off")
        cursor.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {database} {change}")
    connection.close()


@pytest.fixture
def read_only() -> Iterator[Callable[[bool], None]]:
    """Give a function that makes the database read-only, or lets it be written again."""
    yield lambda on: alter_role(f"SET default_transaction_read_only TO {on}")
    alter_role("RESET default_transaction_read_only")


def retire(sku: str) -> None:
    """Do nothing."""


def test_events_wait_for_a_database_that_was_made_read_only(read_only):
    with alone("nobody"), listening(make_consumer(retire)):
        subscriptions.sync()
        relay = Relay(transport := InMemoryTransport())
        with transaction.atomic():
            publish(ProductRetired(sku="teapot"))
        relay.run_once()
        (message,) = transport.messages
        event = (message.dispatch, message.consumer, message.events)

        read_only(True)
        for attempt in (relay.run_once, lambda: deliver(*event)):
            with pytest.raises(DatabaseError) as caught:
                attempt()
            assert is_unreachable(caught.value)
        assert not Retry.objects.exists(), "no attempt is counted"

        read_only(False)
        deliver(*event)
        assert Inbox.objects.filter(consumer="orders.retire").exists()


def test_no_session_compiles_plans_though_its_role_does():
    alter_role("SET jit TO on")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW jit")
            assert cursor.fetchone() == ("off",)
    finally:
        alter_role("RESET jit")
