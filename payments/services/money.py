"""A payment at the bank. Between two transactions the bank is asked, in none.

A capture whose outcome is not known is not repeated blindly: `asking` asks what became of it.
"""

import datetime as dt
from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog
from django.db import transaction

from eventbus import TryLater
from infra import clock
from payments import gateway
from payments.conf import conf
from payments.errors import CardDeclined, NoClearAnswer
from payments.gateway import Verdict
from payments.models import Payment
from payments.services.fraud import judge
from payments.services.records import (
    ask_later,
    ask_soon,
    note_captured,
    note_declined,
    note_refunded,
)
from payments.services.rows import locked, tell

log = structlog.get_logger(__name__)
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
    if payment is None:
        return None
    # Cut off before, or beside another delivery: that call may have moved the money.
    return capture(payment, 1) if payment.asked == 1 else partial(ask_soon, payment_id)


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
    payment.ask(clock.now())
    payment.save()
    return payment


def _late(payment: Payment, until: dt.datetime) -> bool:
    """Decline where the goods stay for less than both calls may take."""
    # Once asked, only the bank can say how it ends, however late it is.
    if payment.asked or goods_stay(until):
        return False
    tell(payment, payment.drop(TOO_LATE))
    return True


def goods_stay(until: dt.datetime) -> bool:
    """Whether there is time for both calls outside before the goods may go."""
    seconds = conf.BANK_TIMEOUT + conf.FRAUD_TIMEOUT
    return until - clock.now() > dt.timedelta(seconds=seconds)


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


def capture(payment: Payment, round: int) -> Record:
    """Ask for the money, and return what to record: without a clear answer, to ask later."""
    bank, key = gateway.bank(), payment.capture_key
    try:
        reference = bank.capture(key, payment.amount, payment.currency, payment.card)
    except CardDeclined as no:
        return partial(note_declined, payment.id, str(no))
    except NoClearAnswer as unclear:
        log.warning("outcome of a capture unknown", payment=str(payment.id), why=str(unclear))
        return partial(ask_later, payment.id, round)
    except TryLater:
        _was_not_asked(payment.id)
        raise
    return partial(note_captured, payment.id, reference)


@transaction.atomic
def _was_not_asked(payment_id: UUID) -> None:
    _, payment = locked(payment_id)
    if payment.asked == 1:  # with more, a call before or beside this one may have got through
        payment.asked = 0
        payment.save()


def give_back(payment_id: UUID, reason: str) -> Record | None:
    """Give captured money back, and return what to record of it."""
    payment = Payment.objects.get(pk=payment_id)
    if not payment.holds_money:
        return None
    bank, key = gateway.bank(), f"{payment.id}-refund"
    bank.refund(key, payment.bank_reference, payment.amount, payment.currency)
    return partial(note_refunded, payment_id, reason)
