"""What payments does. Each function is one transaction: the change and its news, or neither;
only those that ask outside, in `money` and `asking`, are in none, and return what to record."""

from payments.services.asking import ask_bank
from payments.services.bills import cancel_bill, expect_payment
from payments.services.money import give_back, take_money
from payments.services.requests import (
    decline_unpinned,
    refuse_payment,
    release_payment,
    request_payment,
    time_out,
)
from payments.services.webhooks import hear_webhook

__all__ = [
    "ask_bank",
    "cancel_bill",
    "decline_unpinned",
    "expect_payment",
    "give_back",
    "hear_webhook",
    "refuse_payment",
    "release_payment",
    "request_payment",
    "take_money",
    "time_out",
]
