"""What the bank said, written down; each is one transaction, or joins one.

An answer heard at once, asked for later, or hinted at by a webhook is recorded here alike.
"""

import datetime as dt
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from eventbus import publish
from payments.conf import conf
from payments.events import BankAnswerDue
from payments.gateway import Charge
from payments.models import Bill, Payment
from payments.services.rows import locked, tell

log = structlog.get_logger(__name__)

CAME_LATE = "The money came after the payment had ended."
GAVE_BACK = "The bank gave the money back."
LONGEST_PAUSE = dt.timedelta(minutes=15)


@transaction.atomic
def note_captured(payment_id: UUID, reference: str) -> None:
    """Have the money."""
    _have_money(*locked(payment_id), reference)


@transaction.atomic
def note_declined(payment_id: UUID, reason: str, *, final: bool = True) -> None:
    """Have none."""
    _, payment = locked(payment_id)
    tell(payment, payment.decline(reason, final=final))


@transaction.atomic
def note_refunded(payment_id: UUID, reason: str) -> None:
    """Have given it back."""
    _, payment = locked(payment_id)
    _have_returned(payment, reason)


@transaction.atomic
def note_charge(payment_id: UUID, charge: Charge, round: int) -> None:
    """Take over how the bank says a capture stands, unless it is about another sum."""
    bill, payment = locked(payment_id)
    payment.mismatch = payment.differs(charge.amount, charge.currency)
    payment.save()
    if payment.mismatch:
        log.error("bank and payment differ", payment=str(payment_id), bank_says=payment.mismatch)
    else:
        _follow(bill, payment, charge)
    if round and payment.status == Payment.Status.REQUESTED:
        ask_later(payment_id, round)


def _follow(bill: Bill, payment: Payment, charge: Charge) -> None:
    if charge.state == "declined":
        tell(payment, payment.decline(charge.reason, final=True))
    elif charge.state in ("captured", "refunded"):
        _have_money(bill, payment, charge.reference)
    if charge.state == "refunded":
        _have_returned(payment, GAVE_BACK)


def _have_money(bill: Bill, payment: Payment, reference: str) -> None:
    fact = payment.capture(reference, timezone.now())
    tell(payment, fact)
    if fact and bill.cancelled:
        publish(payment.refund_due(bill.reason))
    elif payment.come_late(reference):
        log.error("money of a payment that had ended", payment=str(payment.id))
        payment.save()
        publish(payment.refund_due(CAME_LATE))


def _have_returned(payment: Payment, reason: str) -> None:
    fact = payment.refund(reason, timezone.now())
    payment.save()
    tell(payment, fact)


@transaction.atomic
def ask_soon(payment_id: UUID) -> None:
    """Ask the bank how a capture stands that may or may not have been asked for."""
    publish(BankAnswerDue(payment_id=payment_id, round=1))


@transaction.atomic
def ask_later(payment_id: UUID, round: int) -> None:
    """Ask the bank how a capture stands, after a pause that grows with each round."""
    first = dt.timedelta(seconds=conf.BANK_ASK_AFTER)
    # The exponent is capped, as a thousandth round must not overflow.
    pause = min(LONGEST_PAUSE, first * 2 ** min(round, 20) / 2)
    publish(BankAnswerDue(payment_id=payment_id, round=round + 1), due=pause)
