"""What payments answers."""

from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from payments.models import Bill, Payment


def payments_of(customer_id: UUID) -> QuerySet[Payment]:
    """A customer's payments, the latest first."""
    return all_payments().filter(customer_id=customer_id)


def all_payments() -> QuerySet[Payment]:
    """Everybody's payments, the latest first."""
    return Payment.objects.order_by("-requested_at", "-id")


def bill_is_known(order_id: UUID, customer_id: UUID) -> bool:
    """Whether the news of a customer's order has come here."""
    return Bill.objects.filter(pk=order_id, customer_id=customer_id).exists()


def money_kept() -> dict[str, Decimal]:
    """Captured and not refunded, by currency."""
    kept = Payment.objects.filter(status=Payment.Status.CAPTURED).order_by()
    sums = kept.values_list("currency").annotate(Sum("amount"))
    return dict(sums)
