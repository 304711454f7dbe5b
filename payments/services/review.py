"""Decisions of operators about held payments."""

from uuid import UUID

from infra.transactions import atomic
from payments import errors
from payments.models import Payment
from payments.services.publishing import save_and_publish
from payments.services.requests import request_pin


@atomic
def release_payment(payment_id: UUID, operator: str) -> Payment:
    """Continue a held payment. Raises NotHeld."""
    payment = _held(payment_id)
    payment.release(f"released by {operator}")
    request_pin(payment)
    return payment


@atomic
def refuse_payment(payment_id: UUID, operator: str) -> Payment:
    """Decline a held payment for good, which cancels its order. Raises NotHeld."""
    payment = _held(payment_id)
    save_and_publish(payment, payment.refuse(f"refused by {operator}"))
    return payment


def _held(payment_id: UUID) -> Payment:
    _, payment = Payment.objects.locked(payment_id)
    if payment.status != Payment.Status.HELD:
        raise errors.NotHeld(payment_id=payment_id, status=payment.status)
    return payment
