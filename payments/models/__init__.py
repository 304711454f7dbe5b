"""Models of payments: bills of orders, payments, and the webhooks of banks."""

from payments.models.bills import Bill
from payments.models.payments import Payment
from payments.models.webhooks import Webhook

__all__ = ["Bill", "Payment", "Webhook"]
