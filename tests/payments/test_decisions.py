"""What may become of a payment: decided without a database."""

import datetime as dt
from decimal import Decimal
from uuid import uuid4

import pytest

from payments.events import PaymentCaptured, PaymentDeclined, PaymentRefunded, RefundDue
from payments.models import Bill, Payment

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
LONG_AGO = dt.datetime(2010, 12, 1, tzinfo=dt.UTC)


def payment(status: str = "requested", **fields: object) -> Payment:
    bill = Bill(order_id=uuid4(), customer_id=uuid4(), amount=Decimal("20.00"), currency="EUR")
    made = bill.charge("tok_ok", NOW, None)
    made.status = status
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_captured_money_is_what_the_bill_says():
    paying = payment()

    assert paying.capture("ref", NOW) == PaymentCaptured(
        payment_id=paying.id,
        order_id=paying.order_id,
        customer_id=paying.customer_id,
        amount=Decimal("20.00"),
        currency="EUR",
        captured_at=NOW,
    )
    assert (paying.status, paying.bank_reference) == ("captured", "ref")


def test_an_imported_sale_is_paid_at_its_own_time():
    fact = payment(business_time=LONG_AGO).capture("ref", NOW)

    assert fact is not None
    assert fact.captured_at == LONG_AGO


@pytest.mark.parametrize("status", ["held", "captured", "declined", "refunded"])
def test_only_a_requested_payment_is_captured(status):
    assert payment(status).capture("ref", NOW) is None


@pytest.mark.parametrize("status", ["captured", "declined", "refunded"])
def test_what_is_over_is_not_declined(status):
    assert payment(status).decline("no", final=True) is None


def test_while_the_bank_was_asked_only_its_answer_ends_a_payment():
    paying = payment(asked=1)

    assert paying.drop("no answer") is None
    assert paying.let_go("cancelled") is None
    assert paying.refuse("fraud") is None
    paying.hold("held")
    assert (paying.status, paying.verdict) == ("requested", "")
    assert isinstance(paying.decline("insufficient funds", final=True), PaymentDeclined)


@pytest.mark.parametrize("status", ["requested", "held", "declined", "refunded"])
def test_only_captured_money_goes_back(status):
    assert payment(status).refund("why", NOW) is None


def test_captured_money_goes_back_once():
    paying = payment("captured")

    assert isinstance(paying.let_go("changed my mind"), RefundDue)
    first, second = paying.refund("changed my mind", NOW), paying.refund("changed my mind", NOW)

    assert isinstance(first, PaymentRefunded)
    assert (first.reason, first.amount) == ("changed my mind", Decimal("20.00"))
    assert second is None


def test_a_reason_of_any_length_fits():
    paying = payment()
    fact = paying.decline("x" * 1000, final=False)
    assert fact is not None
    assert len(fact.reason) == len(paying.reason) == 300
