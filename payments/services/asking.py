"""How the bank is asked what became of a capture: nobody guesses, and nobody stops asking."""

import datetime as dt
from collections.abc import Callable
from functools import partial
from uuid import UUID

from django.db import transaction

from infra import clock
from payments import gateway
from payments.conf import conf
from payments.errors import NoClearAnswer
from payments.models import Payment
from payments.services.money import capture, goods_stay
from payments.services.records import ask_later, note_charge, note_declined
from payments.services.rows import locked

NEVER_CAME = "The bank did not take the money."


def ask_bank(payment_id: UUID, round: int, reference: str = "") -> Callable[[], None] | None:
    """Ask how a capture stands, and return what to record of it.

    `round` 0 is a hint of the bank's about any payment; from 1 on an answer is waited for.
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
        return partial(ask_later, payment_id, round)
    if charge:
        return partial(note_charge, payment_id, charge, round)
    return _not_there(payment_id, round) if round else None


def _not_there(payment_id: UUID, round: int) -> Callable[[], None] | None:
    """Ask for the money again with the same key while the goods stay; else make sure first."""
    payment = _about_to_ask_again(payment_id)
    if payment:
        return capture(payment, round)
    if _may_be_under_way(payment_id):
        return partial(ask_later, payment_id, round)
    return partial(note_declined, payment_id, NEVER_CAME, final=False)


@transaction.atomic
def _about_to_ask_again(payment_id: UUID) -> Payment | None:
    bill, payment = locked(payment_id)
    wanted = payment.status == Payment.Status.REQUESTED and not bill.cancelled
    if not (wanted and payment.pinned_until and goods_stay(payment.pinned_until)):
        return None
    payment.ask(clock.now())
    payment.save()
    return payment


def _may_be_under_way(payment_id: UUID) -> bool:
    """Whether what was sent may still reach the bank: then "there is none" is no last word."""
    payment = Payment.objects.get(pk=payment_id)
    longest = dt.timedelta(seconds=conf.BANK_UNDER_WAY)
    return payment.asked_at is not None and clock.now() - payment.asked_at < longest
