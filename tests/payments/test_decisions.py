"""State changes of a payment, without a database."""

import datetime as dt
from decimal import Decimal
from uuid import uuid4

import pytest

from payments.events import PaymentCaptured, PaymentDeclined, PaymentRefunded, RefundDue
from payments.models import Bill, Payment

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
LONG_AGO = dt.datetime(2010, 12, 1, tzinfo=dt.UTC)


def new_payment(status: str = "requested", **fields: object) -> Payment:
    bill = Bill(order_id=uuid4(), customer_id=uuid4(), amount=Decimal("20.00"), currency="EUR")
    payment = Payment.of_bill(bill, "tok_ok", NOW)
    payment.status = status
    for name, value in fields.items():
        setattr(payment, name, value)
    return payment


def test_the_captured_amount_is_the_bills():
    payment = new_payment()

    assert payment.capture("ref", NOW) == PaymentCaptured(
        payment_id=payment.id,
        order_id=payment.order_id,
        customer_id=payment.customer_id,
        amount=Decimal("20.00"),
        currency="EUR",
        captured_at=NOW,
    )
    assert (payment.status, payment.bank_reference) == ("captured", "ref")


def test_an_imported_sale_is_paid_at_its_own_time():
    event = new_payment(business_time=LONG_AGO).capture("ref", NOW)

    assert event is not None
    assert event.captured_at == LONG_AGO


@pytest.mark.parametrize("status", ["held", "captured", "declined", "refunded"])
def test_only_a_requested_payment_is_captured(status):
    assert new_payment(status).capture("ref", NOW) is None


@pytest.mark.parametrize("status", ["captured", "declined", "refunded"])
def test_an_ended_payment_is_not_declined(status):
    assert new_payment(status).decline("no", final=True) is None


def test_after_a_capture_was_sent_only_the_banks_answer_ends_a_payment():
    payment = new_payment(capture_attempts=1)

    assert payment.decline_uncaptured("no answer") is None
    assert payment.cancel("cancelled") is None
    assert payment.refuse("fraud") is None
    payment.hold("held")
    assert (payment.status, payment.verdict) == ("requested", "")
    assert isinstance(payment.decline("insufficient funds", final=True), PaymentDeclined)


@pytest.mark.parametrize("status", ["requested", "held", "declined", "refunded"])
def test_only_captured_money_is_refunded(status):
    assert new_payment(status).refund("why", NOW) is None


def test_captured_money_is_refunded_once():
    payment = new_payment("captured")

    assert isinstance(payment.cancel("changed my mind"), RefundDue)
    first, second = payment.refund("changed my mind", NOW), payment.refund("changed my mind", NOW)

    assert isinstance(first, PaymentRefunded)
    assert (first.reason, first.amount) == ("changed my mind", Decimal("20.00"))
    assert second is None


def test_a_reason_of_any_length_fits():
    payment = new_payment()
    event = payment.decline("x" * 1000, final=False)
    assert event is not None
    assert len(event.reason) == len(payment.reason) == 300
