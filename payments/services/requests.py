"""A payment before the bank: wanted, waiting for stock's answer, held for an operator."""

import datetime as dt
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from eventbus import publish
from payments import errors
from payments.conf import conf
from payments.events import PinTimedOut
from payments.models import Bill, Payment
from payments.services.rows import locked, tell


@transaction.atomic
def request_payment(
    order_id: UUID, customer_id: UUID, card: str, paid_at: dt.datetime | None = None
) -> Payment:
    """Begin to take the money of an order; `paid_at` is an imported sale's own time.

    Raises NoSuchOrder, SaleIsOff, AlreadyBeingPaid.
    """
    bill = Bill.objects.select_for_update().filter(pk=order_id, customer_id=customer_id).first()
    if bill is None:
        raise errors.NoSuchOrder
    if bill.cancelled:
        raise errors.SaleIsOff
    live = Payment.objects.filter(order_id=order_id, status__in=Payment.LIVE).first()
    if live:
        raise errors.AlreadyBeingPaid(payment_id=live.pk)
    payment = bill.charge(card, timezone.now(), paid_at)
    _ask_stock(payment)
    return payment


def _ask_stock(payment: Payment) -> None:
    payment.question = publish(payment.pin_requested())
    alarm = PinTimedOut(payment_id=payment.id, question=payment.question)
    publish(alarm, due=conf.PIN_TIMEOUT)
    payment.save()


@transaction.atomic
def time_out(payment_id: UUID, question: UUID) -> None:
    """Decline a payment whose question nobody answered."""
    # What is answered or over stays so: most alarms need no lock.
    if Payment.objects.unanswered(question).filter(pk=payment_id).exists():
        _, payment = locked(payment_id)
        if payment.awaits(question) and payment.pinned_until is None:
            tell(payment, payment.drop("Stock did not answer in time."))


@transaction.atomic
def decline_unpinned(payment_id: UUID, question: UUID | None, reason: str) -> None:
    """Decline a payment whose goods will not stay."""
    _, payment = locked(payment_id)
    if payment.awaits(question):
        tell(payment, payment.drop(reason))


@transaction.atomic
def release_payment(payment_id: UUID, operator: str) -> Payment:
    """Go on with a held payment on an operator's word. Raises NotHeld."""
    payment = _held(payment_id)
    payment.release(f"released by {operator}")
    _ask_stock(payment)
    return payment


@transaction.atomic
def refuse_payment(payment_id: UUID, operator: str) -> Payment:
    """End a held payment, and with it the order, on an operator's word. Raises NotHeld."""
    payment = _held(payment_id)
    tell(payment, payment.refuse(f"refused by {operator}"))
    return payment


def _held(payment_id: UUID) -> Payment:
    _, payment = locked(payment_id)
    if payment.status != Payment.Status.HELD:
        raise errors.NotHeld(payment_id=payment_id, status=payment.status)
    return payment
