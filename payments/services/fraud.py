"""Whether a payment smells, and what holds while nobody can tell."""

from decimal import Decimal

from eventbus import TryLater
from payments import gateway
from payments.conf import conf
from payments.errors import NoClearAnswer
from payments.gateway import Verdict
from payments.models import Payment


def judge(payment: Payment, country: str) -> Verdict:
    """Take the verdict the payment has, or ask for one."""
    if payment.verdict:
        return Verdict("go", payment.verdict)
    desk, key = gateway.fraud_desk(), f"{payment.id}-assess"
    try:
        return desk.assess(key, payment.amount, payment.currency, payment.card, country)
    except (TryLater, NoClearAnswer):
        return unjudged(payment.amount)


def unjudged(amount: Decimal) -> Verdict:
    """Do as FRAUD_AWAY says: refuse, hold, or allow what is below FRAUD_ALLOW_BELOW."""
    wish = conf.FRAUD_AWAY
    if wish == "refuse":
        return Verdict("refuse", "refused: fraud service away")
    if wish == "allow" and amount < Decimal(conf.FRAUD_ALLOW_BELOW):
        return Verdict("go", "allowed: fraud service away")
    return Verdict("hold", "held: fraud service away")
