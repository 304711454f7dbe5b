"""A payment before its capture: requested, and waiting for inventory to pin the goods."""

import datetime as dt
from uuid import UUID

from django.utils import timezone

from eventbus import publish
from infra.transactions import atomic
from payments import errors
from payments.conf import conf
from payments.events import PinTimedOut
from payments.models import Bill, Payment
from payments.services.publishing import save_and_publish

NOT_PINNED_IN_TIME = "The reservation was not confirmed in time."


@atomic
def request_payment(
    order_id: UUID, customer_id: UUID, card: str, paid_at: dt.datetime | None = None
) -> Payment:
    """Begin to pay an order; `paid_at` is the time of an imported sale.

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
    payment = Payment.of_bill(bill, card, timezone.now(), paid_at)
    request_pin(payment)
    return payment


def request_pin(payment: Payment) -> None:
    """Ask inventory to pin the goods, and limit the time for its reply."""
    payment.pin_request_id = publish(payment.pin_requested())
    timeout = PinTimedOut(payment_id=payment.id, question=payment.pin_request_id)
    publish(timeout, due=conf.PIN_TIMEOUT)
    payment.save()


@atomic
def time_out_pin(payment_id: UUID, pin_request_id: UUID) -> None:
    """Decline a payment if inventory has not replied in time."""
    # Most time-outs find a payment with its reply, and need no lock.
    if Payment.objects.awaiting(pin_request_id).filter(pk=payment_id).exists():
        _, payment = Payment.objects.locked(payment_id)
        if payment.awaits(pin_request_id) and payment.pinned_until is None:
            save_and_publish(payment, payment.decline_uncaptured(NOT_PINNED_IN_TIME))


@atomic
def decline_unpinned(payment_id: UUID, pin_request_id: UUID | None, reason: str) -> None:
    """Decline a payment whose goods inventory does not pin."""
    _, payment = Payment.objects.locked(payment_id)
    if payment.awaits(pin_request_id):
        save_and_publish(payment, payment.decline_uncaptured(reason))
