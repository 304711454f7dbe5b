"""Concurrent requests and deliveries, on PostgreSQL."""

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
from tests.payments.conftest import SARI, cancel_order, new_payment, pin, place_order, reload
from tests.payments.webhook_requests import SECRET, signed_headers, webhook_body

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def run_concurrently(*functions: Callable[[], object]) -> list[BaseException]:
    start, errors_seen = threading.Barrier(len(functions)), []

    def do(function: Callable[[], object]) -> None:
        try:
            start.wait(10)
            function()
        except Exception as error:
            errors_seen.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return errors_seen


def pay(order: UUID) -> Payment:
    return services.request_payment(order, SARI, "tok_ok")


def test_of_concurrent_payments_of_one_order_one_is_accepted():
    order = place_order()
    failures = run_concurrently(*[lambda: pay(order)] * 8)
    assert [type(error) for error in failures] == [errors.AlreadyBeingPaid] * 7
    assert Payment.objects.count() == 1


@pytest.mark.parametrize("turn", range(5))
def test_a_capture_and_a_cancellation_at_once_end_without_money(bank, turn):
    payment = new_payment()

    failures = run_concurrently(lambda: pin(payment), lambda: cancel_order(payment.order_id))

    assert failures == []
    ended = reload(payment)
    if ended.status == "captured":
        services.refund_payment(payment.id, "changed my mind")()
        ended = reload(payment)
    assert ended.status in ("declined", "refunded")
    assert sum(m.amount * (1 if m.kind == "capture" else -1) for m in bank.ledger) == 0


def until_a_lock_is_awaited() -> None:
    """Return once another transaction waits for a lock, or after two seconds."""
    deadline = monotonic() + 2
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return


def run_and_hold_open(function: Callable[[], object], started: threading.Event) -> threading.Thread:
    """Call a function in a transaction that ends only when another one waits for it."""

    def do() -> None:
        with transaction.atomic():
            function()
            started.set()
            until_a_lock_is_awaited()
        connection.close()

    thread = threading.Thread(target=do)
    thread.start()
    started.wait(10)
    return thread


def test_money_that_arrives_during_a_cancellation_is_refunded(bank):
    payment, threads = new_payment(), []

    def cancel() -> None:
        bill = partial(services.cancel_bill, payment.order_id, SARI, "changed my mind")
        threads.append(run_and_hold_open(bill, threading.Event()))

    bank.during_call = cancel
    pin(payment)
    threads[0].join()

    assert reload(payment).status == "captured"
    assert [type(fact) for fact in said("payments")][-2:] == [PaymentCaptured, RefundDue]


def test_a_cancellation_while_a_capture_is_recorded_refunds_it(bank):
    payment = new_payment()
    until = clock.now() + dt.timedelta(minutes=2)
    record = services.capture_payment(payment.id, payment.pin_request_id, until)
    assert record is not None

    thread = run_and_hold_open(record, threading.Event())
    cancel_order(payment.order_id)
    thread.join()

    facts = [type(fact) for fact in said("payments")]
    assert (facts.count(PaymentCaptured), facts.count(RefundDue)) == (1, 1)


def test_concurrent_replies_capture_once(bank):
    payment = new_payment()
    assert run_concurrently(*[lambda: pin(payment)] * 4) == []
    assert reload(payment).status == "captured"
    assert [m.kind for m in bank.ledger] == ["capture"]


def test_one_webhook_received_concurrently_counts_once(settings):
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": {"bank": [SECRET]}}
    long_ago = timezone.now() - dt.timedelta(days=60)
    for n in range(20):
        Webhook.objects.create(provider="x", webhook_id=str(n), kind="k", received_at=long_ago)
    raw = webhook_body(key=new_payment().capture_key)
    headers = signed_headers(raw)

    assert run_concurrently(*[lambda: services.receive_webhook("bank", raw, headers)] * 8) == []

    assert len([fact for fact in said("payments") if isinstance(fact, BankAnswerDue)]) == 1
    assert Webhook.objects.count() == 1


def test_concurrent_webhooks_all_count_and_delete_old_rows(settings):
    settings.PAYMENTS = {**settings.PAYMENTS, "WEBHOOK_SECRETS": {"bank": [SECRET]}}
    long_ago = timezone.now() - dt.timedelta(days=60)
    for n in range(50):
        Webhook.objects.create(provider="x", webhook_id=str(n), kind="k", received_at=long_ago)
    raw = webhook_body(key=new_payment().capture_key)

    calls = [partial(services.receive_webhook, "bank", raw, signed_headers(raw)) for _ in range(8)]
    assert run_concurrently(*calls) == []

    assert len([fact for fact in said("payments") if isinstance(fact, BankAnswerDue)]) == 8
    assert not Webhook.objects.filter(provider="x").exists()


@pytest.mark.parametrize("turn", range(5))
def test_an_answer_and_concurrent_webhooks_capture_once(bank, turn):
    payment = new_payment()
    until = clock.now() + dt.timedelta(minutes=2)
    record = services.capture_payment(payment.id, payment.pin_request_id, until)
    hints = [services.reconcile_capture(payment.id, 0) for _ in range(3)]
    assert run_concurrently(record, *hints) == []
    assert reload(payment).status == "captured"
    assert [type(fact) for fact in said("payments")].count(PaymentCaptured) == 1
