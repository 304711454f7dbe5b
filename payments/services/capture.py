"""Captures: the fraud check, then the call to the bank, each between two short transactions.

A capture without a clear answer is not repeated blindly: `reconciliation` asks the bank about it.
"""

import datetime as dt
from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog

from eventbus import TryLater
from infra import clock
from infra.transactions import atomic
from payments import gateway
from payments.conf import conf
from payments.errors import CardDeclined, NoClearAnswer
from payments.gateway import Verdict
from payments.models import Payment
from payments.services.fraud import assess_fraud
from payments.services.outcomes import (
    reconcile_later,
    reconcile_now,
    record_captured,
    record_declined,
)
from payments.services.publishing import save_and_publish

log = structlog.get_logger(__name__)
Record = Callable[[], None]

PIN_TOO_SHORT = "The goods were not reserved for long enough to take the payment."


def capture_payment(
    payment_id: UUID, pin_request_id: UUID | None, until: dt.datetime
) -> Record | None:
    """Capture the money while the goods are pinned, and return the function that records it.

    Does nothing if the reply is too late, or belongs to an older request.
    """
    pinned = _record_pin(payment_id, pin_request_id, until)
    if pinned is None:
        return None
    verdict = assess_fraud(*pinned)
    if verdict.outcome != "allow":
        return partial(_stop, payment_id, pin_request_id, verdict)
    payment = _start_attempt(payment_id, pin_request_id, until, verdict)
    if payment is None:
        return None
    # A second attempt follows a delivery that died, or runs beside another one: that one may
    # have captured the money.
    first = payment.capture_attempts == 1
    return send_capture(payment, 1) if first else partial(reconcile_now, payment_id)


@atomic
def _record_pin(
    payment_id: UUID, pin_request_id: UUID | None, until: dt.datetime
) -> tuple[Payment, str] | None:
    # From here on PinTimedOut does not end the payment.
    bill, payment = Payment.objects.locked(payment_id)
    if not payment.awaits(pin_request_id) or _declined_as_late(payment, until):
        return None
    payment.pinned_until = until
    payment.save()
    return payment, bill.country


@atomic
def _start_attempt(
    payment_id: UUID, pin_request_id: UUID | None, until: dt.datetime, verdict: Verdict
) -> Payment | None:
    # Committed before the call: from here on only the bank's answer ends the payment.
    _, payment = Payment.objects.locked(payment_id)
    if not payment.awaits(pin_request_id) or _declined_as_late(payment, until):
        return None
    payment.verdict = verdict.text
    payment.start_attempt(clock.now())
    payment.save()
    return payment


def _declined_as_late(payment: Payment, until: dt.datetime) -> bool:
    # After an attempt only the bank can say how it ends, however late it is.
    if payment.capture_attempts or has_time_for_calls(until):
        return False
    save_and_publish(payment, payment.decline_uncaptured(PIN_TOO_SHORT))
    return True


def has_time_for_calls(until: dt.datetime) -> bool:
    """Whether the goods are pinned for longer than both calls may take."""
    seconds = conf.BANK_TIMEOUT + conf.FRAUD_TIMEOUT
    return until - clock.now() > dt.timedelta(seconds=seconds)


@atomic
def _stop(payment_id: UUID, pin_request_id: UUID | None, verdict: Verdict) -> None:
    _, payment = Payment.objects.locked(payment_id)
    if not payment.awaits(pin_request_id):
        return
    if verdict.outcome == "refuse":
        save_and_publish(payment, payment.refuse(verdict.text))
    else:
        payment.hold(verdict.text)
        payment.save()


def send_capture(payment: Payment, round: int) -> Record:
    """Send the capture to the bank, and return the function that records the outcome."""
    try:
        reference = gateway.bank().capture(
            payment.capture_key, payment.amount, payment.currency, payment.card
        )
    except CardDeclined as error:
        return partial(record_declined, payment.id, str(error))
    except NoClearAnswer as error:
        log.warning("outcome of a capture unknown", payment=str(payment.id), error=str(error))
        return partial(reconcile_later, payment.id, round)
    except TryLater:
        _undo_attempt(payment.id)
        raise
    return partial(record_captured, payment.id, reference)


@atomic
def _undo_attempt(payment_id: UUID) -> None:
    _, payment = Payment.objects.locked(payment_id)
    # With more attempts, one before or beside this one may have reached the bank.
    if payment.capture_attempts == 1:
        payment.capture_attempts = 0
        payment.save()
