"""Many at once, on a database where that is possible."""

import threading
from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import connection

from payments import errors, services
from payments.models import Payment
from tests.payments.conftest import SARI, cancelled, now, pinned, placed, requested

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def all_at_once(*deeds: Callable[[], object]) -> list[BaseException]:
    start, trouble = threading.Barrier(len(deeds)), []

    def do(deed: Callable[[], object]) -> None:
        try:
            start.wait(10)
            deed()
        except Exception as error:
            trouble.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=(deed,)) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return trouble


def pay(order: UUID) -> Payment:
    return services.request_payment(order, SARI, "tok_ok")


def test_of_many_who_pay_one_order_at_once_one_pays():
    order = placed()
    trouble = all_at_once(*[lambda: pay(order)] * 8)
    assert [type(error) for error in trouble] == [errors.AlreadyBeingPaid] * 7
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("turn", range(5))
def test_captured_and_cancelled_at_once_ends_without_money(bank, turn):
    payment = requested()

    trouble = all_at_once(lambda: pinned(payment), lambda: cancelled(payment.order_id))

    assert trouble == []
    ended = now(payment)
    if ended.status == "captured":
        services.give_back(payment.id, "changed my mind")()
        ended = now(payment)
    assert ended.status in ("declined", "refunded")
    assert sum(m.amount * (1 if m.kind == "capture" else -1) for m in bank.ledger) == 0


def test_two_answers_at_once_capture_once(bank):
    payment = requested()
    assert all_at_once(*[lambda: pinned(payment)] * 4) == []
    assert now(payment).status == "captured"
    assert [m.kind for m in bank.ledger] == ["capture"]
