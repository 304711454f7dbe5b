"""Refunds of captured payments, by the bank."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from payments import gateway
from payments.models import Payment
from payments.services.outcomes import record_refunded


def refund_payment(payment_id: UUID, reason: str) -> Callable[[], None] | None:
    """Refund captured money, and return the function that records it."""
    payment = Payment.objects.get(pk=payment_id)
    if not payment.holds_money:
        return None
    gateway.bank().refund(
        payment.refund_key, payment.bank_reference, payment.amount, payment.currency
    )
    return partial(record_refunded, payment_id, reason)
