"""Reconciliation: the bank is asked about a capture until its outcome is known."""

import datetime as dt
from collections.abc import Callable
from functools import partial
from uuid import UUID

from infra import clock
from infra.transactions import atomic
from payments import gateway
from payments.conf import conf
from payments.errors import NoClearAnswer
from payments.models import Payment
from payments.services.capture import has_time_for_calls, send_capture
from payments.services.outcomes import reconcile_later, record_charge, record_declined

NOT_CAPTURED = "The bank did not take the money."


def reconcile_capture(
    payment_id: UUID, round: int, reference: str = ""
) -> Callable[[], None] | None:
    """Ask the bank about a capture, and return the function that records the answer.

    `round` 0 follows a webhook about any payment; from 1 on the outcome of a capture is unknown.
    """
    payment = Payment.objects.get(pk=payment_id)
    if round and payment.status != Payment.Status.REQUESTED:
        return None
    known = payment.bank_reference or reference
    try:
        charge = gateway.bank().charge_of(payment.capture_key, known)
    except NoClearAnswer:
        if not round:
            raise
        return partial(reconcile_later, payment_id, round)
    if charge:
        return partial(record_charge, payment_id, charge, round)
    return _not_found(payment_id, round) if round else None


def _not_found(payment_id: UUID, round: int) -> Callable[[], None] | None:
    payment = _start_attempt(payment_id)
    if payment:
        return send_capture(payment, round)  # the same key as before
    if _may_be_in_transit(payment_id):
        return partial(reconcile_later, payment_id, round)
    return partial(record_declined, payment_id, NOT_CAPTURED, final=False)


@atomic
def _start_attempt(payment_id: UUID) -> Payment | None:
    bill, payment = Payment.objects.locked(payment_id)
    wanted = payment.status == Payment.Status.REQUESTED and not bill.cancelled
    if not (wanted and payment.pinned_until and has_time_for_calls(payment.pinned_until)):
        return None
    payment.start_attempt(clock.now())
    payment.save()
    return payment


def _may_be_in_transit(payment_id: UUID) -> bool:
    # Then "there is no such capture" is not final: the request may still reach the bank.
    payment = Payment.objects.get(pk=payment_id)
    longest = dt.timedelta(seconds=conf.BANK_UNDER_WAY)
    last = payment.last_attempt_at
    return last is not None and clock.now() - last < longest
