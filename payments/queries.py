"""Queries of payments."""

from uuid import UUID

from django.db.models import QuerySet

from payments.models import Bill, Payment


def payments_of(customer_id: UUID) -> QuerySet[Payment]:
    """Return a customer's payments, the latest first."""
    return all_payments().filter(customer_id=customer_id)


def all_payments() -> QuerySet[Payment]:
    """Return the payments of all customers, the latest first."""
    return Payment.objects.order_by("-requested_at", "-id")


def bill_exists(order_id: UUID, customer_id: UUID) -> bool:
    """Whether `OrderPlaced` of a customer's order has arrived here."""
    return Bill.objects.filter(pk=order_id, customer_id=customer_id).exists()
