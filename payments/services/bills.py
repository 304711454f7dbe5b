"""What there is to pay, by the news of orders."""

from decimal import Decimal
from uuid import UUID

from django.db import transaction

from payments.models import Bill, Payment
from payments.services.rows import tell


@transaction.atomic
def expect_payment(
    order_id: UUID, customer_id: UUID, amount: Decimal, currency: str, country: str
) -> None:
    """Write the bill of an order; one cancelled before stays cancelled."""
    bill = Bill(
        order_id=order_id,
        customer_id=customer_id,
        amount=amount,
        currency=currency,
        country=country,
    )
    Bill.objects.bulk_create(
        [bill],
        update_conflicts=True,
        unique_fields=["order_id"],
        update_fields=["amount", "currency", "country"],
    )


@transaction.atomic
def cancel_bill(order_id: UUID, customer_id: UUID, reason: str) -> None:
    """Want no money for an order any more, known or not, and give back what came."""
    known = Bill.objects.select_for_update().filter(pk=order_id).first()
    bill = known or Bill(order_id=order_id, customer_id=customer_id)
    if bill.cancelled:
        return
    bill.cancel(reason)
    bill.save()
    for payment in Payment.objects.filter(order_id=order_id, status__in=Payment.LIVE):
        tell(payment, payment.let_go(bill.reason))
