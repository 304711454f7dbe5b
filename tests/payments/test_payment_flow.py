"""From the request to the captured or refunded money, with events that arrive late."""

import datetime as dt
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction

from eventbus.models import DeadLetter, Inbox, Retry, Scheduled
from eventbus.testing import hear, said
from infra import clock
from payments import errors, services
from payments.events import (
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PinRequested,
    RefundDue,
)
from payments.models import Bill, Payment
from tests.payments.conftest import (
    BUDI,
    SARI,
    WHEN,
    cancel_order,
    new_payment,
    pin,
    place_order,
    reconcile,
    refuse_pin,
    reload,
    retry_failed,
    time_out_pin,
)

ONCE = [("capture", Decimal("20.00"))]
AND_BACK = [*ONCE, ("refund", Decimal("20.00"))]


def published(kind: type) -> list[object]:
    return [event for event in said("payments") if isinstance(event, kind)]


def later(**span: float) -> None:
    clock.offset += dt.timedelta(**span)


# --- the request ---------------------------------------------------------------------------------
def test_a_new_payment_requests_a_pin_and_sets_a_timer(settings):
    payment = new_payment()

    assert published(PinRequested) == [
        PinRequested(order_id=payment.order_id, payment_id=payment.id)
    ]
    timer = Scheduled.objects.get(name="payments.PinTimedOut")
    assert UUID(timer.payload["question"]) == payment.pin_request_id
    wait = timer.due_at - clock.now()
    assert dt.timedelta() < wait <= settings.PAYMENTS["PIN_TIMEOUT"]


def test_amount_and_currency_are_those_of_the_order():
    payment = services.request_payment(
        place_order(total=Decimal("1.23"), currency="IDR"), SARI, "tok_a"
    )
    assert (payment.amount, payment.currency) == (Decimal("1.23"), "IDR")


def test_an_unknown_order_is_not_paid():
    with pytest.raises(errors.NoSuchOrder):
        services.request_payment(uuid4(), SARI, "tok_ok")


def test_the_order_of_another_customer_is_not_found():
    with pytest.raises(errors.NoSuchOrder):
        services.request_payment(place_order(), BUDI, "tok_ok")


def test_a_cancelled_order_is_not_paid():
    order = place_order()
    cancel_order(order)
    with pytest.raises(errors.SaleIsOff):
        services.request_payment(order, SARI, "tok_ok")


def test_an_order_cancelled_before_it_is_known_stays_cancelled():
    order = uuid4()
    cancel_order(order)
    place_order(order)

    with pytest.raises(errors.SaleIsOff):
        services.request_payment(order, SARI, "tok_ok")
    assert Bill.objects.get(pk=order).amount == Decimal("20.00")


@pytest.mark.parametrize("status", ["requested", "held", "captured"])
def test_an_order_is_paid_by_one_payment_at_a_time(status):
    payment = new_payment()
    Payment.objects.update(status=status)

    with pytest.raises(errors.AlreadyBeingPaid, match=str(payment.id)):
        services.request_payment(payment.order_id, SARI, "tok_ok")


def test_the_database_too_refuses_a_second_live_payment():
    payment = new_payment()
    payment.pk = uuid4()
    with pytest.raises(IntegrityError), transaction.atomic():
        payment.save(force_insert=True)


def test_after_a_decline_the_customer_may_pay_again(bank):
    first = new_payment()
    refuse_pin(first)
    second = services.request_payment(first.order_id, SARI, "tok_ok")
    pin(second)

    assert (reload(first).status, reload(second).status) == ("declined", "captured")


# --- the reply -----------------------------------------------------------------------------------
def test_while_the_goods_are_pinned_the_money_is_captured(bank):
    payment = new_payment()
    pin(payment)

    (event,) = published(PaymentCaptured)
    assert (event.payment_id, event.amount, event.currency) == (payment.id, Decimal("20.00"), "EUR")
    assert (reload(payment).status, reload(payment).verdict) == ("captured", "passed")
    assert bank.movements == ONCE
    assert reload(payment).bank_reference == bank.ledger[0].reference


def test_an_imported_sale_keeps_its_date(bank):
    payment = new_payment(paid_at=WHEN)
    pin(payment)
    assert published(PaymentCaptured)[0].captured_at == reload(payment).captured_at == WHEN


def test_the_same_reply_twice_captures_once(bank):
    pin(new_payment(), times=2)
    assert len(published(PaymentCaptured)) == 1
    assert bank.movements == ONCE


def test_two_replies_to_one_request_capture_once(bank):
    payment = new_payment()
    pin(payment)
    pin(payment)
    assert len(published(PaymentCaptured)) == 1
    assert bank.movements == ONCE


def test_a_second_reply_during_the_capture_captures_once(bank):
    payment = new_payment()

    def second() -> None:
        bank.during_call = lambda: None
        pin(payment)

    bank.during_call = second
    pin(payment)

    assert len(published(PaymentCaptured)) == 1
    assert bank.movements == ONCE


def test_a_reply_to_an_old_request_moves_no_money(bank):
    payment = new_payment()
    pin(payment, request_id=uuid4())
    refuse_pin(payment, request_id=uuid4())

    assert reload(payment).status == "requested"
    assert bank.movements == []


@pytest.mark.parametrize("seconds", [-1, 0, 5])
def test_a_reply_too_late_for_the_calls_declines(bank, seconds):
    payment = new_payment()
    pin(payment, seconds=seconds)

    (event,) = published(PaymentDeclined)
    assert not event.final
    assert reload(payment).status == "declined"
    assert bank.movements == []


def test_goods_that_are_not_pinned_decline_with_inventorys_reason(bank):
    payment = new_payment()
    refuse_pin(payment, "They lapsed.")

    (event,) = published(PaymentDeclined)
    assert (event.reason, event.final) == ("They lapsed.", False)
    assert bank.movements == []


def test_a_declined_card_is_final(bank):
    payment = new_payment("tok_insufficient_funds")
    pin(payment)

    (event,) = published(PaymentDeclined)
    assert (event.reason, event.final) == ("insufficient funds", True)
    assert not Retry.objects.exists()


# --- the time-out --------------------------------------------------------------------------------
def test_without_a_reply_in_time_it_is_declined_and_a_later_one_moves_no_money(bank):
    payment = new_payment()
    time_out_pin(payment)
    pin(payment)

    (event,) = published(PaymentDeclined)
    assert (event.reason, event.final) == ("The reservation was not confirmed in time.", False)
    assert reload(payment).status == "declined"
    assert bank.movements == []


def test_the_time_out_of_a_captured_payment_changes_nothing(bank):
    payment = new_payment()
    pin(payment)
    time_out_pin(payment)
    assert reload(payment).status == "captured"
    assert not published(PaymentDeclined)


def test_the_time_out_of_another_request_changes_nothing():
    payment = new_payment()
    hear("payments.PinTimedOut", payment_id=payment.id, question=uuid4())
    assert reload(payment).status == "requested"


def test_a_time_out_during_the_capture_does_not_decline(bank):
    payment = new_payment()
    bank.during_call = lambda: time_out_pin(payment)
    pin(payment)

    assert reload(payment).status == "captured"
    assert not published(PaymentDeclined)


def test_a_time_out_during_the_fraud_check_does_not_decline(bank):
    payment = new_payment()
    bank.during_assessment = lambda: time_out_pin(payment)
    pin(payment)
    assert reload(payment).status == "captured"


def test_a_time_out_after_an_unclear_answer_does_not_decline(bank):
    payment = new_payment("tok_slow")
    pin(payment)
    time_out_pin(payment)
    assert reload(payment).status == "requested"

    reconcile()

    assert reload(payment).status == "captured"
    assert bank.movements == ONCE


# --- the cancellation ----------------------------------------------------------------------------
def test_cancelled_before_the_reply_no_money_moves(bank):
    payment = new_payment()
    cancel_order(payment.order_id)
    pin(payment)

    (event,) = published(PaymentDeclined)
    assert (event.reason, event.final) == ("The order was cancelled.", False)
    assert bank.movements == []


def test_cancelled_during_the_fraud_check_no_money_moves(bank):
    payment = new_payment()
    bank.during_assessment = lambda: cancel_order(payment.order_id)
    pin(payment)
    assert reload(payment).status == "declined"
    assert bank.movements == []


def test_cancelled_during_the_capture_the_money_is_refunded(bank):
    payment = new_payment()

    def cancel() -> None:
        bank.during_call = lambda: None
        cancel_order(payment.order_id, "changed my mind")

    bank.during_call = cancel
    pin(payment)
    assert published(PaymentCaptured) and not published(PaymentDeclined)
    assert published(RefundDue) == [RefundDue(payment_id=payment.id, reason="changed my mind")]

    hear("payments.RefundDue", payment_id=payment.id, reason="changed my mind")

    (event,) = published(PaymentRefunded)
    assert event.reason == "changed my mind"
    assert reload(payment).status == "refunded"
    assert bank.movements == AND_BACK


def test_cancelled_after_an_unclear_answer_the_money_is_found_and_refunded(bank):
    payment = new_payment("tok_slow")
    pin(payment)
    cancel_order(payment.order_id)
    assert reload(payment).status == "requested"

    reconcile()

    assert reload(payment).status == "captured"
    assert len(published(RefundDue)) == 1


def test_cancelled_after_the_capture_the_money_is_refunded(bank):
    payment = new_payment()
    pin(payment)
    cancel_order(payment.order_id)
    cancel_order(payment.order_id)
    assert len(published(RefundDue)) == 1

    for _ in range(2):
        hear("payments.RefundDue", payment_id=payment.id, reason="changed my mind")

    assert len(published(PaymentRefunded)) == 1
    assert bank.movements == AND_BACK


def test_a_refund_that_died_before_its_record_moves_money_once(bank):
    payment = new_payment()
    pin(payment)
    services.refund_payment(payment.id, "changed my mind")  # the process dies before the record
    hear("payments.RefundDue", payment_id=payment.id, reason="changed my mind")

    assert reload(payment).status == "refunded"
    assert bank.movements == AND_BACK


# --- failures of the bank ------------------------------------------------------------------------
def test_a_capture_that_died_before_its_record_moves_money_once(bank):
    payment = new_payment()
    until = clock.now() + dt.timedelta(minutes=2)
    services.capture_payment(payment.id, payment.pin_request_id, until)  # and dies here
    assert reload(payment).status == "requested"

    later(minutes=10)
    pin(payment)
    reconcile()

    assert reload(payment).status == "captured"
    assert bank.movements == ONCE


def test_an_unclear_answer_is_reconciled_even_when_the_goods_are_not_pinned(bank):
    payment = new_payment("tok_slow")
    pin(payment)
    assert reload(payment).status == "requested"
    assert bank.movements == ONCE

    later(minutes=10)
    reconcile()

    assert reload(payment).status == "captured"
    assert bank.movements == ONCE
    assert not Retry.objects.exists()


def test_an_unreachable_bank_costs_no_attempt_and_moves_no_money(bank):
    payment = new_payment()

    def fail() -> None:
        raise errors.NotReached(reason="The bank", seconds=1)

    bank.during_call = fail
    pin(payment)
    assert (Retry.objects.get().attempts, reload(payment).capture_attempts) == (0, 0)

    bank.during_call = lambda: None
    retry_failed()
    assert reload(payment).status == "captured"


def test_a_bank_reached_after_the_pin_has_ended_moves_no_money(bank):
    payment = new_payment()

    def fail() -> None:
        raise errors.NotReached(reason="The bank", seconds=1)

    bank.during_call = fail
    pin(payment)
    later(minutes=10)
    bank.during_call = lambda: None
    retry_failed()

    assert reload(payment).status == "declined"
    assert bank.movements == []


def test_after_an_unclear_answer_an_unreachable_bank_still_decides_the_outcome(bank):
    payment = new_payment("tok_slow")
    pin(payment)

    def fail() -> None:
        raise errors.NotReached(reason="The bank", seconds=1)

    bank.during_query = fail
    reconcile()
    time_out_pin(payment)
    cancel_order(payment.order_id)
    later(minutes=10)
    assert (reload(payment).status, Retry.objects.get().attempts) == ("requested", 0)
    bank.during_query = lambda: None
    retry_failed()

    assert reload(payment).status == "captured"
    assert bank.movements == ONCE
    assert len(published(RefundDue)) == 1


def test_a_flaky_bank_is_called_until_it_answers(bank):
    payment = new_payment("tok_flaky")
    pin(payment)
    reconcile()
    assert reload(payment).status == "requested"
    reconcile()

    assert reload(payment).status == "captured"
    assert bank.movements == ONCE
    assert not DeadLetter.objects.exists()


def test_the_breaker_opens_for_all_payments_and_costs_them_no_attempt(bank):
    def unclear() -> None:
        raise errors.NoClearAnswer(service="The bank", problem="status 500")

    bank.during_call = unclear
    payments = [new_payment() for _ in range(6)]
    for payment in payments:
        pin(payment)

    last = reload(payments[-1])
    assert [r.attempts for r in Retry.objects.all()] == [0]
    assert [reload(payment).capture_attempts for payment in payments] == [1, 1, 1, 1, 1, 0]
    assert (last.status, last.capture_attempts) == ("requested", 0)


def test_the_bank_is_not_called_in_a_transaction(bank):
    payment = new_payment()
    until = clock.now() + dt.timedelta(minutes=2)
    with pytest.raises(AssertionError, match="in a transaction"), transaction.atomic():
        services.capture_payment(payment.id, payment.pin_request_id, until)
    assert bank.movements == []


def test_a_handled_event_leaves_no_unfinished_call(bank):
    pin(new_payment())
    assert not Inbox.objects.filter(handled_at=None).exists()
