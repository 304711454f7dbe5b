"""Services of payments. Each is one transaction: the change and its events, or neither.

Those that call the bank (`capture_payment`, `refund_payment`, `reconcile_capture`) run in no
transaction and return the function that records the outcome.
"""

from payments.services.bills import cancel_bill, expect_payment
from payments.services.capture import capture_payment
from payments.services.reconciliation import reconcile_capture
from payments.services.refunds import refund_payment
from payments.services.requests import decline_unpinned, request_payment, time_out_pin
from payments.services.review import refuse_payment, release_payment
from payments.services.webhooks import receive_webhook

__all__ = [
    "cancel_bill",
    "capture_payment",
    "decline_unpinned",
    "expect_payment",
    "receive_webhook",
    "reconcile_capture",
    "refund_payment",
    "refuse_payment",
    "release_payment",
    "request_payment",
    "time_out_pin",
]
