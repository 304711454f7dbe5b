"""Many at once, on a database where that is possible."""

import datetime as dt
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from eventbus.testing import said
from infra import clock
from payments import errors, services
from payments.events import BankAnswerDue, PaymentCaptured, RefundDue
from payments.models import Payment, Webhook
from tests.payments.calls import SECRET, signed, written
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


def until_somebody_waits() -> None:
    """Go on once another transaction waits for a lock, or after two seconds if none does."""
    deadline = monotonic() + 2
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return


def held_open(deed: Callable[[], object], under_way: threading.Event) -> threading.Thread:
    """Do something in a transaction that ends only when somebody waits for it."""

    def do() -> None:
        with transaction.atomic():
            deed()
            under_way.set()
            until_somebody_waits()
        connection.close()

    thread = threading.Thread(target=do)
    thread.start()
    under_way.wait(10)
    return thread


def test_money_that_comes_during_a_cancellation_goes_back(bank):
    payment, threads = requested(), []

    def cancel() -> None:
        bill = partial(services.cancel_bill, payment.order_id, SARI, "changed my mind")
        threads.append(held_open(bill, threading.Event()))

    bank.meanwhile = cancel
    pinned(payment)
    threads[0].join()

    assert now(payment).status == "captured"
    assert [type(fact) for fact in said("payments")][-2:] == [PaymentCaptured, RefundDue]


def test_a_cancellation_during_the_record_of_money_gives_it_back(bank):
    payment = requested()
    until = clock.now() + dt.timedelta(minutes=2)
    record = services.take_money(payment.id, payment.question, until)
    assert record is not None

    thread = held_open(record, threading.Event())
    cancelled(payment.order_id)
    thread.join()

    facts = [type(fact) for fact in said("payments")]
    assert (facts.count(PaymentCaptured), facts.count(RefundDue)) == (1, 1)


def test_two_answers_at_once_capture_once(bank):
    payment = requested()
    assert all_at_once(*[lambda: pinned(payment)] * 4) == []
    assert now(payment).status == "captured"
    assert [m.kind for m in bank.ledger] == ["capture"]


def test_the_same_webhook_many_times_at_once_counts_once(settings):
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": {"bank": [SECRET]}}
    long_ago = timezone.now() - dt.timedelta(days=60)
    for n in range(20):
        Webhook.objects.create(provider="x", webhook_id=str(n), kind="k", received_at=long_ago)
    raw = written(key=requested().capture_key)
    headers = signed(raw)

    assert all_at_once(*[lambda: services.hear_webhook("bank", raw, headers)] * 8) == []

    assert len([fact for fact in said("payments") if isinstance(fact, BankAnswerDue)]) == 1
    assert Webhook.objects.count() == 1


def test_many_webhooks_at_once_all_count_and_sweep(settings):
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": {"bank": [SECRET]}}
    long_ago = timezone.now() - dt.timedelta(days=60)
    for n in range(50):
        Webhook.objects.create(provider="x", webhook_id=str(n), kind="k", received_at=long_ago)
    raw = written(key=requested().capture_key)

    calls = [partial(services.hear_webhook, "bank", raw, signed(raw)) for _ in range(8)]
    assert all_at_once(*calls) == []

    assert len([fact for fact in said("payments") if isinstance(fact, BankAnswerDue)]) == 8
    assert not Webhook.objects.filter(provider="x").exists()


@pytest.mark.parametrize("turn", range(5))
def test_answer_and_hints_at_once_capture_once(bank, turn):
    payment = requested()
    until = clock.now() + dt.timedelta(minutes=2)
    record = services.take_money(payment.id, payment.question, until)
    hints = [services.ask_bank(payment.id, 0) for _ in range(3)]
    assert all_at_once(record, *hints) == []
    assert now(payment).status == "captured"
    assert [type(fact) for fact in said("payments")].count(PaymentCaptured) == 1
