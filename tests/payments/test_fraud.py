"""The fraud check, and the policy while the fraud service is unavailable."""

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
    cancel_order,
    new_payment,
    pin,
    place_order,
    reconcile,
    refuse_pin,
    reload,
)


@pytest.fixture
def service_down(bank) -> Bank:
    def fail() -> None:
        raise errors.NoClearAnswer(service="The fraud service", problem="timed out")

    bank.during_assessment = fail
    return bank


def configure(settings: Any, **changes: str) -> None:
    settings.PAYMENTS = {**settings.PAYMENTS, **changes}


def payment_of(amount: str) -> Payment:
    return services.request_payment(place_order(total=Decimal(amount)), SARI, "tok_ok")


def declines() -> list[PaymentDeclined]:
    return [event for event in said("payments") if isinstance(event, PaymentDeclined)]


def test_fraud_never_reaches_the_bank(bank):
    payment = new_payment("tok_fraud")
    pin(payment)

    (event,) = declines()
    assert (event.final, event.reason) == (True, "The payment was refused.")
    assert reload(payment).verdict == "fraud: the card was reported stolen"
    assert bank.movements == []


def test_refuse_while_the_service_is_unavailable(service_down, settings):
    configure(settings, FRAUD_AWAY="refuse")
    payment = new_payment()
    pin(payment)

    assert declines()[0].final
    assert reload(payment).verdict == "refused: fraud service unavailable"


def test_hold_while_the_service_is_unavailable(service_down, settings):
    configure(settings, FRAUD_AWAY="hold")
    payment = new_payment()
    pin(payment)

    assert (reload(payment).status, reload(payment).verdict) == (
        "held",
        "held: fraud service unavailable",
    )
    assert declines() == service_down.movements == []


@pytest.mark.parametrize(
    ("amount", "status", "verdict"),
    [
        ("49.99", "captured", "allowed: fraud service unavailable"),
        ("50.00", "held", "held: fraud service unavailable"),
    ],
)
def test_allow_small_amounts_while_the_service_is_unavailable(
    service_down, settings, amount, status, verdict
):
    configure(settings, FRAUD_AWAY="allow", FRAUD_ALLOW_BELOW="50.00")
    payment = payment_of(amount)
    pin(payment)
    assert (reload(payment).status, reload(payment).verdict) == (status, verdict)


def test_an_unknown_policy_holds(service_down, settings):
    configure(settings, FRAUD_AWAY="unknown")
    payment = new_payment()
    pin(payment)
    assert reload(payment).status == "held"


@pytest.fixture
def held(service_down, settings) -> Payment:
    configure(settings, FRAUD_AWAY="hold")
    payment = new_payment()
    pin(payment)
    return reload(payment)


def test_a_released_payment_requests_a_new_pin_and_is_captured(held, bank):
    services.release_payment(held.id, "sinta")
    again = reload(held)
    assert (again.status, again.verdict) == ("requested", "released by sinta")
    assert again.pin_request_id != held.pin_request_id
    assert sum(isinstance(event, PinRequested) for event in said("payments")) == 2

    pin(again, request_id=held.pin_request_id)  # the old reply, once more
    assert reload(held).status == "requested"
    pin(again)

    assert (reload(held).status, reload(held).verdict) == ("captured", "released by sinta")


def test_a_released_payment_without_goods_is_declined(held):
    services.release_payment(held.id, "sinta")
    refuse_pin(reload(held))
    assert reload(held).status == "declined"


def test_a_refused_payment_ends_the_order(held):
    services.refuse_payment(held.id, "sinta")
    assert declines()[0].final
    assert (reload(held).status, reload(held).verdict) == ("declined", "refused by sinta")


def test_a_held_payment_ends_with_its_order(held):
    cancel_order(held.order_id)
    assert reload(held).status == "declined"
    with pytest.raises(errors.NotHeld, match="declined"):
        services.release_payment(held.id, "sinta")


@pytest.mark.parametrize("decide", [services.release_payment, services.refuse_payment])
def test_only_held_payments_wait_for_an_operator(decide):
    with pytest.raises(errors.NotHeld, match="requested"):
        decide(new_payment().id, "sinta")


def test_after_a_capture_was_sent_fraud_is_not_assessed_again(bank):
    payment = new_payment("tok_slow")
    pin(payment)

    def fail() -> None:
        raise AssertionError("assessed again")

    bank.during_assessment = fail
    pin(payment)
    reconcile()
    assert reload(payment).status == "captured"
