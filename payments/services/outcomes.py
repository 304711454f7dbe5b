"""Outcomes at the bank, recorded under the bill's lock.

The answer to a call, the answer to a reconciliation, and one that follows a webhook are recorded
by the same functions. Each is one transaction, or joins one.
"""

import datetime as dt
from uuid import UUID

import structlog
from django.utils import timezone

from eventbus import publish
from infra.transactions import atomic
from payments.conf import conf
from payments.events import BankAnswerDue
from payments.gateway import Charge
from payments.models import Bill, Payment
from payments.services.publishing import save_and_publish

log = structlog.get_logger(__name__)

CAPTURED_LATE = "The money arrived after the payment had ended."
REFUNDED_BY_BANK = "The bank refunded the money."
LONGEST_PAUSE = dt.timedelta(minutes=15)


@atomic
def record_captured(payment_id: UUID, reference: str) -> None:
    """Record that the bank has captured the money."""
    _capture(*Payment.objects.locked(payment_id), reference)


@atomic
def record_declined(payment_id: UUID, reason: str, *, final: bool = True) -> None:
    """Record that the bank has moved no money."""
    _, payment = Payment.objects.locked(payment_id)
    save_and_publish(payment, payment.decline(reason, final=final))


@atomic
def record_refunded(payment_id: UUID, reason: str) -> None:
    """Record that the bank has refunded the money."""
    _, payment = Payment.objects.locked(payment_id)
    _refund(payment, reason)


@atomic
def record_charge(payment_id: UUID, charge: Charge, round: int) -> None:
    """Record a capture as the bank describes it, unless its amount differs from ours."""
    bill, payment = Payment.objects.locked(payment_id)
    payment.mismatch = payment.difference(charge.amount, charge.currency)
    payment.save()
    if payment.mismatch:
        log.error("bank and payment differ", payment=str(payment_id), bank=payment.mismatch)
    else:
        _follow(bill, payment, charge)
    if round and payment.status == Payment.Status.REQUESTED:
        reconcile_later(payment_id, round)


def _follow(bill: Bill, payment: Payment, charge: Charge) -> None:
    if charge.state == "declined":
        save_and_publish(payment, payment.decline(charge.reason, final=True))
    elif charge.state in ("captured", "refunded"):
        _capture(bill, payment, charge.reference)
    if charge.state == "refunded":
        _refund(payment, REFUNDED_BY_BANK)


def _capture(bill: Bill, payment: Payment, reference: str) -> None:
    event = payment.capture(reference, timezone.now())
    save_and_publish(payment, event)
    if event and bill.cancelled:
        publish(payment.refund_due(bill.reason))
    elif payment.capture_late(reference):
        log.error("money arrived after its payment had ended", payment=str(payment.id))
        payment.save()
        publish(payment.refund_due(CAPTURED_LATE))


def _refund(payment: Payment, reason: str) -> None:
    event = payment.refund(reason, timezone.now())
    payment.save()
    save_and_publish(payment, event)


@atomic
def reconcile_now(payment_id: UUID) -> None:
    """Request a reconciliation of a capture that may have reached the bank."""
    publish(BankAnswerDue(payment_id=payment_id, round=1))


@atomic
def reconcile_later(payment_id: UUID, round: int) -> None:
    """Request another reconciliation, after a pause that doubles with each round."""
    first = dt.timedelta(seconds=conf.BANK_ASK_AFTER)
    # The exponent is capped: 2 ** 1000 seconds would overflow.
    pause = min(LONGEST_PAUSE, first * 2 ** min(round, 20) / 2)
    publish(BankAnswerDue(payment_id=payment_id, round=round + 1), due=pause)
