"""The fraud check, and what holds while nobody can tell."""

from decimal import Decimal
from typing import Any

import pytest

from eventbus.testing import said
from payments import errors, services
from payments.events import PaymentDeclined, PinRequested
from payments.models import Payment
from tests.payments.conftest import (
    SARI,
    Bank,
    asked_again,
    cancelled,
    now,
    pinned,
    placed,
    refused,
    requested,
)


@pytest.fixture
def nobody_can_tell(bank) -> Bank:
    def away() -> None:
        raise errors.NoClearAnswer(who="The fraud service", problem="timed out")

    bank.while_judging = away
    return bank


def wish(settings: Any, **wishes: str) -> None:
    settings.PAYMENTS = {**settings.PAYMENTS, **wishes}


def costing(amount: str) -> Payment:
    return services.request_payment(placed(total=Decimal(amount)), SARI, "tok_ok")


def declines() -> list[PaymentDeclined]:
    return [fact for fact in said("payments") if isinstance(fact, PaymentDeclined)]


def test_fraud_never_reaches_the_bank(bank):
    payment = requested("tok_fraud")
    pinned(payment)

    (fact,) = declines()
    assert (fact.final, fact.reason) == (True, "The payment was refused.")
    assert now(payment).verdict == "fraud: the card was reported stolen"
    assert bank.moved == []


def test_refuse_while_nobody_can_tell(nobody_can_tell, settings):
    wish(settings, FRAUD_AWAY="refuse")
    payment = requested()
    pinned(payment)

    assert declines()[0].final
    assert now(payment).verdict == "refused: fraud service away"


def test_hold_while_nobody_can_tell(nobody_can_tell, settings):
    wish(settings, FRAUD_AWAY="hold")
    payment = requested()
    pinned(payment)

    assert (now(payment).status, now(payment).verdict) == ("held", "held: fraud service away")
    assert declines() == nobody_can_tell.moved == []


@pytest.mark.parametrize(
    ("amount", "status", "verdict"),
    [
        ("49.99", "captured", "allowed: fraud service away"),
        ("50.00", "held", "held: fraud service away"),
    ],
)
def test_allow_small_amounts_while_nobody_can_tell(
    nobody_can_tell, settings, amount, status, verdict
):
    wish(settings, FRAUD_AWAY="allow", FRAUD_ALLOW_BELOW="50.00")
    payment = costing(amount)
    pinned(payment)
    assert (now(payment).status, now(payment).verdict) == (status, verdict)


def test_a_wish_nobody_knows_holds(nobody_can_tell, settings):
    wish(settings, FRAUD_AWAY="whatever")
    payment = requested()
    pinned(payment)
    assert now(payment).status == "held"


@pytest.fixture
def held(nobody_can_tell, settings) -> Payment:
    wish(settings, FRAUD_AWAY="hold")
    payment = requested()
    pinned(payment)
    return now(payment)


def test_a_released_payment_asks_stock_again_and_is_captured(held, bank):
    services.release_payment(held.id, "sinta")
    again = now(held)
    assert (again.status, again.verdict) == ("requested", "released by sinta")
    assert again.question != held.question
    assert sum(isinstance(fact, PinRequested) for fact in said("payments")) == 2

    pinned(again, question=held.question)  # the old answer, once more
    assert now(held).status == "requested"
    pinned(again)

    assert (now(held).status, now(held).verdict) == ("captured", "released by sinta")


def test_a_released_payment_whose_goods_are_gone_is_declined(held):
    services.release_payment(held.id, "sinta")
    refused(now(held))
    assert now(held).status == "declined"


def test_a_refused_payment_ends_the_order(held):
    services.refuse_payment(held.id, "sinta")
    assert declines()[0].final
    assert (now(held).status, now(held).verdict) == ("declined", "refused by sinta")


def test_a_held_payment_ends_with_its_order(held):
    cancelled(held.order_id)
    assert now(held).status == "declined"
    with pytest.raises(errors.NotHeld, match="declined"):
        services.release_payment(held.id, "sinta")


@pytest.mark.parametrize("decide", [services.release_payment, services.refuse_payment])
def test_only_held_payments_wait_for_an_operator(decide):
    with pytest.raises(errors.NotHeld, match="requested"):
        decide(requested().id, "sinta")


def test_after_the_bank_was_asked_fraud_is_not_asked_again(bank):
    payment = requested("tok_slow")
    pinned(payment)

    def away() -> None:
        raise AssertionError("asked again")

    bank.while_judging = away
    pinned(payment)
    asked_again()
    assert now(payment).status == "captured"
