"""How payments asks outside: a bank and a fraud service, each behind its circuit breaker."""

from collections.abc import Mapping
from functools import cache

from infra.circuit_breaker import CircuitBreaker, guarded
from payments.conf import conf
from payments.errors import CardDeclined, NoSuchProvider
from payments.gateway import stripe, webhooks
from payments.gateway.fakes import FakeBank, FakeFraudDesk, PlayedBank
from payments.gateway.http import HttpBank, HttpFraudDesk
from payments.gateway.port import Bank, Charge, FraudDesk, Verdict
from payments.gateway.webhooks import Hint

__all__ = [
    "Bank",
    "Charge",
    "FraudDesk",
    "Hint",
    "Verdict",
    "bank",
    "fraud_desk",
    "hint_in",
    "played",
]

BANK = CircuitBreaker("bank", ignore=(CardDeclined,))
FRAUD = CircuitBreaker("fraud")

# The bank of this process, where no address is set; tests put another one here.
played = PlayedBank()


def bank() -> Bank:
    """Return Stripe, the bank at BANK_URL, or the fake one."""
    url, timeout = conf.BANK_URL, conf.BANK_TIMEOUT
    if conf.BANK == "stripe":
        account = conf.STRIPE_API_KEY, conf.STRIPE_API_BASE
        return guarded(_stripe_at(*account, timeout), BANK)
    return guarded(_bank_at(url, timeout) if url else FakeBank(played), BANK)


def fraud_desk() -> FraudDesk:
    """Return the fraud service at FRAUD_URL, or the fake one."""
    url = conf.FRAUD_URL
    at = _desk_at(url, conf.FRAUD_TIMEOUT) if url else FakeFraudDesk(played)
    return guarded(at, FRAUD)


def hint_in(provider: str, raw: bytes, headers: Mapping[str, str]) -> Hint:
    """Read a webhook, once its signature is known to be good.

    Raises NoSuchProvider where there is no secret to know it by, and BadWebhook.
    """
    secrets = conf.WEBHOOK_SECRETS.get(provider)
    if not secrets:
        raise NoSuchProvider
    read = stripe.hint_in if provider == "stripe" else webhooks.hint_in
    return read(raw, headers, secrets)


@cache
def _stripe_at(api_key: str, address: str, timeout: float) -> Bank:
    return stripe.StripeBank(api_key, address, timeout)


@cache
def _bank_at(url: str, timeout: float) -> HttpBank:
    return HttpBank(url, timeout)


@cache
def _desk_at(url: str, timeout: float) -> HttpFraudDesk:
    return HttpFraudDesk(url, timeout)
