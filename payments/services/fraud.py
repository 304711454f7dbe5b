"""The fraud check, and the policy while the fraud service is unavailable."""

from decimal import Decimal

from eventbus import TryLater
from payments import gateway
from payments.conf import conf
from payments.errors import NoClearAnswer
from payments.gateway import Verdict
from payments.models import Payment


def assess_fraud(payment: Payment, country: str) -> Verdict:
    """Return the verdict that the payment has already, or the fraud service's."""
    if payment.verdict:
        return Verdict("allow", payment.verdict)
    service, key = gateway.fraud_service(), f"{payment.id}-assess"
    try:
        return service.assess(key, payment.amount, payment.currency, payment.card, country)
    except (TryLater, NoClearAnswer):
        return verdict_without_service(payment.amount)


def verdict_without_service(amount: Decimal) -> Verdict:
    """Return the verdict of the policy FRAUD_AWAY: refuse, hold, or allow small amounts."""
    if conf.FRAUD_AWAY == "refuse":
        return Verdict("refuse", "refused: fraud service unavailable")
    if conf.FRAUD_AWAY == "allow" and amount < Decimal(conf.FRAUD_ALLOW_BELOW):
        return Verdict("allow", "allowed: fraud service unavailable")
    return Verdict("hold", "held: fraud service unavailable")
