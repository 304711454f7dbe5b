"""Bills: created and cancelled by the events of orders."""

from decimal import Decimal
from uuid import UUID

from infra.transactions import atomic
from payments.models import Bill, Payment
from payments.services.publishing import save_and_publish


@atomic
def expect_payment(
    order_id: UUID, customer_id: UUID, amount: Decimal, currency: str, country: str
) -> None:
    """Create the bill of an order; one that is cancelled already stays cancelled."""
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


@atomic
def cancel_bill(order_id: UUID, customer_id: UUID, reason: str) -> None:
    """Cancel the bill of an order, known or not, and its live payment."""
    known = Bill.objects.select_for_update().filter(pk=order_id).first()
    bill = known or Bill(order_id=order_id, customer_id=customer_id)
    if bill.cancelled:
        return
    bill.cancel(reason)
    bill.save()
    for payment in Payment.objects.filter(order_id=order_id, status__in=Payment.LIVE):
        save_and_publish(payment, payment.cancel(bill.reason))
