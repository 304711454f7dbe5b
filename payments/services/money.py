"""A payment at the bank. Between two transactions the bank is asked, in none.

What is asked is repeated with the same key until the answer is clear, so money moves once.
"""

import datetime as dt
from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from eventbus import TryLater, clock, publish
from payments import gateway
from payments.errors import CardDeclined
from payments.gateway import Verdict
from payments.models import Payment
from payments.services.fraud import judge
from payments.services.rows import locked, tell

Record = Callable[[], None]

TOO_LATE = "The goods were not held long enough to take the money."


def take_money(payment_id: UUID, question: UUID | None, until: dt.datetime) -> Record | None:
    """Take the money while the goods stay, and return what to record of it.

    Nothing is asked where the answer came too late, or to an old question.
    """
    found = _pinned(payment_id, question, until)
    if found is None:
        return None
    verdict = judge(*found)
    if verdict.outcome != "go":
        return partial(_stop, payment_id, question, verdict)
    payment = _about_to_ask(payment_id, question, until, verdict)
    return _capture(payment) if payment else None


@transaction.atomic
def _pinned(
    payment_id: UUID, question: UUID | None, until: dt.datetime
) -> tuple[Payment, str] | None:
    """Note that stock answered: from here on the alarm does not end the payment."""
    bill, payment = locked(payment_id)
    if not payment.awaits(question) or _late(payment, until):
        return None
    payment.pinned_until = until
    payment.save()
    return payment, bill.country


@transaction.atomic
def _about_to_ask(
    payment_id: UUID, question: UUID | None, until: dt.datetime, verdict: Verdict
) -> Payment | None:
    """Note, before it is asked, that the bank is: from here on only its answer counts."""
    _, payment = locked(payment_id)
    if not payment.awaits(question) or _late(payment, until):
        return None
    payment.verdict = verdict.words
    payment.asked += 1
    payment.save()
    return payment


def _late(payment: Payment, until: dt.datetime) -> bool:
    """Decline where the goods stay for less than both calls may take."""
    seconds = settings.PAYMENTS["BANK_TIMEOUT"] + settings.PAYMENTS["FRAUD_TIMEOUT"]
    # Once asked, the bank is asked again however late it is: the money may have moved.
    if payment.asked or until - clock.now() > dt.timedelta(seconds=seconds):
        return False
    tell(payment, payment.drop(TOO_LATE))
    return True


@transaction.atomic
def _stop(payment_id: UUID, question: UUID | None, verdict: Verdict) -> None:
    _, payment = locked(payment_id)
    if not payment.awaits(question):
        return
    if verdict.outcome == "refuse":
        tell(payment, payment.refuse(verdict.words))
    else:
        payment.hold(verdict.words)
        payment.save()


def _capture(payment: Payment) -> Record:
    bank, key = gateway.bank(), f"{payment.id}-capture"
    try:
        reference = bank.capture(key, payment.amount, payment.currency, payment.card)
    except CardDeclined as no:
        return partial(_note_declined, payment.id, str(no))
    except TryLater:
        _was_not_asked(payment.id)
        raise
    return partial(_note_captured, payment.id, reference)


@transaction.atomic
def _was_not_asked(payment_id: UUID) -> None:
    _, payment = locked(payment_id)
    if payment.asked == 1:  # with more, a call before or beside this one may have got through
        payment.asked = 0
        payment.save()


@transaction.atomic
def _note_declined(payment_id: UUID, reason: str) -> None:
    _, payment = locked(payment_id)
    tell(payment, payment.decline(reason, final=True))


@transaction.atomic
def _note_captured(payment_id: UUID, reference: str) -> None:
    bill, payment = locked(payment_id)
    fact = payment.capture(reference, timezone.now())
    tell(payment, fact)
    if fact and bill.cancelled:
        publish(payment.refund_due(bill.reason))


def give_back(payment_id: UUID, reason: str) -> Record | None:
    """Give captured money back, and return what to record of it."""
    payment = Payment.objects.get(pk=payment_id)
    if payment.status != Payment.Status.CAPTURED:
        return None
    bank, key = gateway.bank(), f"{payment.id}-refund"
    bank.refund(key, payment.bank_reference, payment.amount, payment.currency)
    return partial(_note_refunded, payment_id, reason)


@transaction.atomic
def _note_refunded(payment_id: UUID, reason: str) -> None:
    _, payment = locked(payment_id)
    tell(payment, payment.refund(reason, timezone.now()))
