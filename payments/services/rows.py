"""How a payment is changed: under its bill's lock, and never without its news."""

from uuid import UUID

from eventbus import Event, publish
from payments.models import Bill, Payment


def locked(payment_id: UUID) -> tuple[Bill, Payment]:
    """Lock the bill, then read the payment: nobody changes a payment without that lock."""
    order_id = Payment.objects.filter(pk=payment_id).values("order_id")
    bill = Bill.objects.select_for_update().get(pk__in=order_id)
    return bill, Payment.objects.get(pk=payment_id)


def tell(payment: Payment, fact: Event | None) -> None:
    """Save and publish what happened, if something did."""
    if fact:
        payment.version += 1
        payment.save()
        publish(fact, version=payment.version)
