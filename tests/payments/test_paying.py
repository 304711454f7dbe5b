"""From the wish to pay to the money: each late pair has a rule."""

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
    alarm,
    asked_again,
    cancelled,
    now,
    pinned,
    placed,
    refused,
    requested,
    retried,
)

ONCE = [("capture", Decimal("20.00"))]
AND_BACK = [*ONCE, ("refund", Decimal("20.00"))]


def facts(kind: type) -> list[object]:
    return [fact for fact in said("payments") if isinstance(fact, kind)]


def later(**span: float) -> None:
    clock.offset += dt.timedelta(**span)


# --- the wish to pay -----------------------------------------------------------------------------
def test_who_pays_makes_payments_ask_stock_and_set_an_alarm(settings):
    payment = requested()

    assert facts(PinRequested) == [PinRequested(order_id=payment.order_id, payment_id=payment.id)]
    alarm = Scheduled.objects.get(name="payments.PinTimedOut")
    assert UUID(alarm.payload["question"]) == payment.question
    wait = alarm.due_at - clock.now()
    assert dt.timedelta() < wait <= settings.PAYMENTS["PIN_TIMEOUT"]


def test_amount_and_currency_are_those_of_the_order():
    payment = services.request_payment(placed(total=Decimal("1.23"), currency="IDR"), SARI, "tok_a")
    assert (payment.amount, payment.currency) == (Decimal("1.23"), "IDR")


def test_an_order_nobody_heard_of_is_not_paid():
    with pytest.raises(errors.NoSuchOrder):
        services.request_payment(uuid4(), SARI, "tok_ok")


def test_somebody_elses_order_is_not_there():
    with pytest.raises(errors.NoSuchOrder):
        services.request_payment(placed(), BUDI, "tok_ok")


def test_a_cancelled_order_is_not_paid():
    order = placed()
    cancelled(order)
    with pytest.raises(errors.SaleIsOff):
        services.request_payment(order, SARI, "tok_ok")


def test_an_order_cancelled_before_it_was_heard_of_stays_cancelled():
    order = uuid4()
    cancelled(order)
    placed(order)

    with pytest.raises(errors.SaleIsOff):
        services.request_payment(order, SARI, "tok_ok")
    assert Bill.objects.get(pk=order).amount == Decimal("20.00")


@pytest.mark.parametrize("status", ["requested", "held", "captured"])
def test_an_order_is_paid_by_one_payment_at_a_time(status):
    payment = requested()
    Payment.objects.update(status=status)

    with pytest.raises(errors.AlreadyBeingPaid, match=str(payment.id)):
        services.request_payment(payment.order_id, SARI, "tok_ok")


def test_the_database_too_refuses_a_second_live_payment():
    payment = requested()
    payment.pk = uuid4()
    with pytest.raises(IntegrityError), transaction.atomic():
        payment.save(force_insert=True)


def test_who_was_declined_may_pay_again(bank):
    first = requested()
    refused(first)
    second = services.request_payment(first.order_id, SARI, "tok_ok")
    pinned(second)

    assert (now(first).status, now(second).status) == ("declined", "captured")


# --- the answer ----------------------------------------------------------------------------------
def test_while_the_goods_stay_the_money_is_taken(bank):
    payment = requested()
    pinned(payment)

    (fact,) = facts(PaymentCaptured)
    assert (fact.payment_id, fact.amount, fact.currency) == (payment.id, Decimal("20.00"), "EUR")
    assert (now(payment).status, now(payment).verdict) == ("captured", "passed")
    assert bank.moved == ONCE
    assert now(payment).bank_reference == bank.ledger[0].reference


def test_an_imported_sale_keeps_its_date(bank):
    payment = requested(paid_at=WHEN)
    pinned(payment)
    assert facts(PaymentCaptured)[0].captured_at == now(payment).captured_at == WHEN


def test_the_same_answer_twice_takes_the_money_once(bank):
    pinned(requested(), times=2)
    assert len(facts(PaymentCaptured)) == 1
    assert bank.moved == ONCE


def test_two_answers_to_one_question_take_the_money_once(bank):
    payment = requested()
    pinned(payment)
    pinned(payment)
    assert len(facts(PaymentCaptured)) == 1
    assert bank.moved == ONCE


def test_a_second_answer_while_the_bank_thinks_takes_the_money_once(bank):
    payment = requested()

    def second() -> None:
        bank.meanwhile = lambda: None
        pinned(payment)

    bank.meanwhile = second
    pinned(payment)

    assert len(facts(PaymentCaptured)) == 1
    assert bank.moved == ONCE


def test_an_answer_to_an_old_question_moves_nothing(bank):
    payment = requested()
    pinned(payment, question=uuid4())
    refused(payment, question=uuid4())

    assert now(payment).status == "requested"
    assert bank.moved == []


@pytest.mark.parametrize("seconds", [-1, 0, 5])
def test_an_answer_that_came_too_late_to_ask_the_bank_declines(bank, seconds):
    payment = requested()
    pinned(payment, seconds=seconds)

    (fact,) = facts(PaymentDeclined)
    assert not fact.final
    assert now(payment).status == "declined"
    assert bank.moved == []


def test_goods_that_do_not_stay_decline_with_stocks_reason(bank):
    payment = requested()
    refused(payment, "They lapsed.")

    (fact,) = facts(PaymentDeclined)
    assert (fact.reason, fact.final) == ("They lapsed.", False)
    assert bank.moved == []


def test_a_declined_card_is_final(bank):
    payment = requested("tok_insufficient_funds")
    pinned(payment)

    (fact,) = facts(PaymentDeclined)
    assert (fact.reason, fact.final) == ("insufficient funds", True)
    assert not Retry.objects.exists()


# --- the alarm -----------------------------------------------------------------------------------
def test_no_answer_in_time_declines_and_a_later_one_moves_nothing(bank):
    payment = requested()
    alarm(payment)
    pinned(payment)

    (fact,) = facts(PaymentDeclined)
    assert (fact.reason, fact.final) == ("Stock did not answer in time.", False)
    assert now(payment).status == "declined"
    assert bank.moved == []


def test_the_alarm_of_a_payment_made_changes_nothing(bank):
    payment = requested()
    pinned(payment)
    alarm(payment)
    assert now(payment).status == "captured"
    assert not facts(PaymentDeclined)


def test_the_alarm_of_another_question_changes_nothing():
    payment = requested()
    hear("payments.PinTimedOut", payment_id=payment.id, question=uuid4())
    assert now(payment).status == "requested"


def test_the_alarm_while_the_bank_thinks_does_not_decline(bank):
    payment = requested()
    bank.meanwhile = lambda: alarm(payment)
    pinned(payment)

    assert now(payment).status == "captured"
    assert not facts(PaymentDeclined)


def test_the_alarm_while_the_fraud_desk_thinks_does_not_decline(bank):
    payment = requested()
    bank.while_judging = lambda: alarm(payment)
    pinned(payment)
    assert now(payment).status == "captured"


def test_the_alarm_after_an_unclear_answer_does_not_decline(bank):
    payment = requested("tok_slow")
    pinned(payment)
    alarm(payment)
    assert now(payment).status == "requested"

    asked_again()

    assert now(payment).status == "captured"
    assert bank.moved == ONCE


# --- the cancellation ----------------------------------------------------------------------------
def test_cancelled_before_the_answer_nothing_moves(bank):
    payment = requested()
    cancelled(payment.order_id)
    pinned(payment)

    (fact,) = facts(PaymentDeclined)
    assert (fact.reason, fact.final) == ("The order was cancelled.", False)
    assert bank.moved == []


def test_cancelled_while_the_fraud_desk_thinks_nothing_moves(bank):
    payment = requested()
    bank.while_judging = lambda: cancelled(payment.order_id)
    pinned(payment)
    assert now(payment).status == "declined"
    assert bank.moved == []


def test_captured_after_cancelled_goes_back(bank):
    payment = requested()

    def cancel() -> None:
        bank.meanwhile = lambda: None
        cancelled(payment.order_id, "changed my mind")

    bank.meanwhile = cancel
    pinned(payment)
    assert facts(PaymentCaptured) and not facts(PaymentDeclined)
    assert facts(RefundDue) == [RefundDue(payment_id=payment.id, reason="changed my mind")]

    hear("payments.RefundDue", payment_id=payment.id, reason="changed my mind")

    (fact,) = facts(PaymentRefunded)
    assert fact.reason == "changed my mind"
    assert now(payment).status == "refunded"
    assert bank.moved == AND_BACK


def test_cancelled_while_the_answer_is_unclear_the_money_is_found_and_goes_back(bank):
    payment = requested("tok_slow")
    pinned(payment)
    cancelled(payment.order_id)
    assert now(payment).status == "requested"

    asked_again()

    assert now(payment).status == "captured"
    assert len(facts(RefundDue)) == 1


def test_cancelled_after_captured_goes_back(bank):
    payment = requested()
    pinned(payment)
    cancelled(payment.order_id)
    cancelled(payment.order_id)
    assert len(facts(RefundDue)) == 1

    for _ in range(2):
        hear("payments.RefundDue", payment_id=payment.id, reason="changed my mind")

    assert len(facts(PaymentRefunded)) == 1
    assert bank.moved == AND_BACK


def test_a_refund_cut_off_before_it_was_recorded_moves_money_once(bank):
    payment = requested()
    pinned(payment)
    services.give_back(payment.id, "changed my mind")  # and the process dies here
    hear("payments.RefundDue", payment_id=payment.id, reason="changed my mind")

    assert now(payment).status == "refunded"
    assert bank.moved == AND_BACK


# --- the bank in trouble -------------------------------------------------------------------------
def test_a_capture_cut_off_before_it_was_recorded_moves_money_once(bank):
    payment = requested()
    until = clock.now() + dt.timedelta(minutes=2)
    services.take_money(payment.id, payment.question, until)  # and the process dies here
    assert now(payment).status == "requested"

    later(minutes=10)
    pinned(payment)
    asked_again()

    assert now(payment).status == "captured"
    assert bank.moved == ONCE


def test_an_unclear_answer_is_asked_for_again_even_when_the_goods_may_be_gone(bank):
    payment = requested("tok_slow")
    pinned(payment)
    assert now(payment).status == "requested"
    assert bank.moved == ONCE

    later(minutes=10)
    asked_again()

    assert now(payment).status == "captured"
    assert bank.moved == ONCE
    assert not Retry.objects.exists()


def test_a_bank_that_is_not_reached_costs_no_attempt_and_moves_nothing(bank):
    payment = requested()

    def away() -> None:
        raise errors.NotReached(reason="The bank", seconds=1)

    bank.meanwhile = away
    pinned(payment)
    assert (Retry.objects.get().attempts, now(payment).asked) == (0, 0)

    bank.meanwhile = lambda: None
    retried()
    assert now(payment).status == "captured"


def test_a_bank_that_is_not_reached_while_the_goods_stay_moves_nothing_later(bank):
    payment = requested()

    def away() -> None:
        raise errors.NotReached(reason="The bank", seconds=1)

    bank.meanwhile = away
    pinned(payment)
    later(minutes=10)
    bank.meanwhile = lambda: None
    retried()

    assert now(payment).status == "declined"
    assert bank.moved == []


def test_a_bank_not_reached_after_an_unclear_answer_still_has_the_last_word(bank):
    payment = requested("tok_slow")
    pinned(payment)

    def away() -> None:
        raise errors.NotReached(reason="The bank", seconds=1)

    bank.while_asked = away
    asked_again()
    alarm(payment)
    cancelled(payment.order_id)
    later(minutes=10)
    assert (now(payment).status, Retry.objects.get().attempts) == ("requested", 0)
    bank.while_asked = lambda: None
    retried()

    assert now(payment).status == "captured"
    assert bank.moved == ONCE
    assert len(facts(RefundDue)) == 1


def test_a_flaky_bank_is_asked_until_it_answers(bank):
    payment = requested("tok_flaky")
    pinned(payment)
    asked_again()
    assert now(payment).status == "requested"
    asked_again()

    assert now(payment).status == "captured"
    assert bank.moved == ONCE
    assert not DeadLetter.objects.exists()


def test_the_breaker_opens_for_all_payments_and_costs_them_no_attempt(bank):
    def unclear() -> None:
        raise errors.NoClearAnswer(who="The bank", problem="status 500")

    bank.meanwhile = unclear
    payments = [requested() for _ in range(6)]
    for payment in payments:
        pinned(payment)

    last = now(payments[-1])
    assert [r.attempts for r in Retry.objects.all()] == [0]
    assert [now(payment).asked for payment in payments] == [1, 1, 1, 1, 1, 0]
    assert (last.status, last.asked) == ("requested", 0)


def test_nobody_asks_the_bank_in_a_transaction(bank):
    payment = requested()
    until = clock.now() + dt.timedelta(minutes=2)
    with pytest.raises(AssertionError, match="in a transaction"), transaction.atomic():
        services.take_money(payment.id, payment.question, until)
    assert bank.moved == []


def test_what_was_handled_leaves_no_unfinished_call(bank):
    pinned(requested())
    assert not Inbox.objects.filter(handled_at=None).exists()
