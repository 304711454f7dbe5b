"""An operator's work is repeated after a deadlock, and counted once."""

import threading

import pytest
from django.db import OperationalError, connection, transaction

from eventbus.models import Action, DeadLetter
from eventbus.operations import dead_letters
from eventbus.operations.audit_log import record_action, record_progress, step
from eventbus.operations.dead_letter_filter import DeadLetterFilter
from infra import clock
from infra.ids import new_id
from orders.models import Product
from tests.side_by_side import side_by_side

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

CONFLICT = "DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40P01'; END $$"


def conflict() -> None:
    """Let the server end the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(CONFLICT)


def test_a_step_is_repeated_and_counted_once():
    runs = []

    with record_action(Action.Operation.NOTE, "operator:1", selection={}) as action:
        action.result = {"noted": ["before"]}

        def work() -> str:
            runs.append(1)
            action.result["noted"].append("in it")
            record_progress(action, 5)
            if len(runs) < 3:
                conflict()
            return "done"

        assert step(action, work) == "done"

    assert len(runs) == 3
    stored = Action.objects.get()
    assert (stored.processed, stored.result) == (5, {"noted": ["before", "in it"]})


def test_a_step_that_conflicts_for_ever_fails_at_last():
    with (
        pytest.raises(OperationalError),
        record_action(Action.Operation.NOTE, "operator:1", selection={}) as action,
    ):
        step(action, conflict)


def test_a_deadlock_with_another_transaction_fails_neither(monkeypatch):
    """The operation holds dead letters and waits for a product; the other one the reverse."""
    Product.objects.create(sku="a", name="a", unit_price="1.00", currency="EUR")
    for _ in range(3):
        DeadLetter.objects.create(
            consumer="orders.listen",
            event_id=new_id(),
            name="orders.ProductRetired",
            envelope={},
            died_at=clock.now(),
        )
    met, noted, others = threading.Barrier(2), [], []
    note = dead_letters._note

    def note_and_write(found: list[DeadLetter], action: Action) -> None:
        note(found, action)
        noted.append(1)
        if len(noted) == 1:
            met.wait(10)
        Product.objects.update(views=1)

    def other() -> None:
        with transaction.atomic():
            Product.objects.update(views=2)
            others.append(1)
            met.wait(10)
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL deadlock_timeout TO '20s'")  # the operation is ended
            DeadLetter.objects.update(attempts=7)

    monkeypatch.setattr(dead_letters, "_note", note_and_write)
    selection = DeadLetterFilter()
    side_by_side(lambda: dead_letters.note(selection, "seen", "operator:1"), other)

    assert (len(noted), len(others)) == (2, 1)
    assert Action.objects.get().processed == 3
    assert set(DeadLetter.objects.values_list("attempts", flat=True)) == {7}
