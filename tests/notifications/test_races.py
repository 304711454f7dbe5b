"""Races between two transactions, on PostgreSQL."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from eventbus.testing import Bus
from notifications.models import Message
from notifications.services import orders
from tests.notifications.conftest import Upstream


def run_in_thread(work: Callable[[], Any]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def a_transaction_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_an_address_that_comes_while_a_message_is_written_is_not_missed(monkeypatch):
    # given: a message is written for an unknown customer, and not yet committed
    bus, upstream = Bus(), Upstream()
    written, go_on = threading.Event(), threading.Event()
    write = orders.write

    def write_and_pause(kind: Any, *rest: Any, **context: Any) -> None:
        write(kind, *rest, **context)
        if kind == Message.Kind.ORDER_RECEIVED:
            written.set()
            go_on.wait(10)

    monkeypatch.setattr(orders, "write", write_and_pause)
    placing = run_in_thread(upstream.placed)
    assert written.wait(10)

    # when: the customer becomes known
    signing_up = run_in_thread(upstream.signed_up)
    while signing_up.is_alive() and not a_transaction_waits_for_a_lock():
        continue
    go_on.set()
    placing.join()
    signing_up.join()
    bus.settle()

    # then
    assert dict(Message.objects.values_list("kind", "state")) == {
        "order_received": "sent",
        "welcome": "sent",
    }
